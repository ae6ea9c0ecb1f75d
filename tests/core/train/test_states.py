"""Saved states are small files, whole or absent, and known by their checksums."""

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave.checkpoints import store
from worldweave.train.states import LARGEST, States
from worldweave_registry import WeightsError, WorldweaveError

resource = pytest.importorskip("resource")
NOTES = {"subject": "a toy", "losses": "[0.5]"}


def tensors(seed=0, size=1500):
    generator = torch.Generator().manual_seed(seed)
    return {
        "large": torch.randn(size, 3, generator=generator),
        "small": torch.randn(5, generator=generator),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 4),
    }


def files(states, step):
    return sorted((states.place / f"{step:08}").glob("part-*.safetensors"))


@pytest.fixture
def states(tmp_path):
    return States(tmp_path / "run", largest=4096)


def test_what_is_saved_is_read_bit_for_bit(states):
    states.save(250, tensors(), NOTES)
    state = states.open(250)
    assert (state.step, state.notes) == (250, NOTES)
    for name, tensor in tensors().items():
        assert torch.equal(state.read(name, tensor), tensor)


def test_the_released_limit_is_16_megabytes(tmp_path):
    assert States(tmp_path).largest == LARGEST == 16_000_000


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=8),
    largest=st.integers(1000, 20_000),
)
def test_no_file_is_larger_than_it_may_be(tmp_path_factory, sizes, largest):
    states = States(tmp_path_factory.mktemp("run"), largest=largest)
    named = {
        f"blocks.{n}.weight": torch.randn(size).to(
            torch.float16 if n % 2 else torch.float32
        )
        for n, size in enumerate(sizes)
    }
    states.save(1, named, {})
    assert max(path.stat().st_size for path in files(states, 1)) <= largest
    state = states.open(1)
    assert all(torch.equal(state.read(n, t), t) for n, t in named.items())
    shutil.rmtree(states.folder)


def test_the_last_two_states_are_kept(states):
    for step in (1, 2, 3):
        states.save(step, tensors(step), NOTES)
    assert states.steps() == [3, 2]
    assert sorted(path.name for path in states.place.iterdir()) == [
        "00000002",
        "00000003",
    ]


def damage_cut(folder):
    path = folder / "part-002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def damage_flip(folder):
    path = folder / "part-002.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def damage_gone(folder):
    (folder / "part-003.safetensors").unlink()


def damage_index(folder):
    path = folder / "index.json"
    path.write_text(path.read_text().replace('"step": 5', '"step": 6'))


def damage_notes(folder):
    path = folder / "index.json"
    path.write_text(path.read_text().replace("[0.5]", "[0.4]"))


def damage_half_index(folder):
    path = folder / "index.json"
    path.write_text(path.read_text()[:300])


def damage_list(folder):
    (folder / "index.json").write_text(json.dumps([1, 2]))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_cut, r"part-002.safetensors has \d+ of \d+ bytes"),
        (damage_flip, "part-002.safetensors has another checksum"),
        (damage_gone, "No such file"),
        (damage_index, "index.json is not what was written"),
        (damage_notes, "index.json is not what was written"),
        (damage_half_index, "is damaged"),
        (damage_list, "is damaged"),
    ],
)
def test_any_damage_is_noticed(states, damage, says):
    states.save(5, tensors(), NOTES)
    damage(states.place / "00000005")
    with pytest.raises(WeightsError, match=says):
        states.open(5)


def test_a_state_that_was_being_written_is_none(states):
    states.save(1, tensors(), NOTES)
    shutil.copytree(states.place / "00000001", states.place / ".writing")
    assert states.steps() == [1]
    states.save(2, tensors(), NOTES)
    assert not (states.place / ".writing").exists()


def test_the_same_state_is_not_written_again(states):
    states.save(1, tensors(), NOTES)
    written = files(states, 1)[0].stat().st_mtime_ns
    states.save(1, tensors(), NOTES)
    assert files(states, 1)[0].stat().st_mtime_ns == written


def test_a_damaged_state_is_written_again(states):
    states.save(1, tensors(), NOTES)
    damage_cut(states.place / "00000001")
    states.save(1, tensors(), NOTES)
    assert torch.equal(
        states.open(1).read("large", tensors()["large"]), tensors()["large"]
    )


@pytest.fixture
def limit():
    """Let no file of this process grow beyond so many bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def set_to(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield set_to
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 100, 3000])
def test_a_write_that_fails_keeps_the_state_before(states, limit, room):
    states.save(1, tensors(1), NOTES)
    limit(room)
    try:
        with pytest.raises(WorldweaveError) as caught:
            states.save(2, tensors(2), NOTES)
    finally:
        limit(resource.RLIM_INFINITY)
    told = str(caught.value)
    for part in (
        f"cannot save step 2 in {states.folder} (File too large)",
        "it takes 18.0 kB and ",
        "the state of step 1 is still there",
        "run the same command",
    ):
        assert part in told
    assert [path.name for path in states.place.iterdir()] == ["00000001"]
    states.open(1)
    states.save(2, tensors(2), NOTES)
    assert states.steps() == [2, 1]


def test_a_disk_without_room_is_noticed_before_the_work(states):
    with pytest.raises(
        WorldweaveError, match=r"run needs 1000000.0 TB .* free; free some space or"
    ):
        states.check_space(10**18)


def test_states_hold_no_more_than_their_tensors(states):
    states.save(1, tensors(), NOTES)
    names = {name for path in files(states, 1) for name in store.read(path)}
    assert names == set(tensors())
