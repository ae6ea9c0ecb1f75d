"""Weights on disk: look, read, write."""

import errno
import json
import os
import shutil
import stat
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldweave.checkpoints import store, tensor_file
from worldweave_registry.errors import WeightsError, WorldweaveError

# One folder for all examples is fine: each example replaces the file.
examples = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
names = st.text("abcé.0_", min_size=1, max_size=12)
layouts = st.dictionaries(
    names,
    st.tuples(shapes, st.sampled_from(list(tensor_file.DTYPES.values()))),
    max_size=6,
)


def make(layout):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randint(0, 2, shape, generator=generator).to(dtype)
        for name, (shape, dtype) in layout.items()
    }


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.safetensors"
    store.write(
        path, {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4).bfloat16()}
    )
    return path


@examples
@given(layout=layouts)
def test_the_reference_library_reads_what_we_write(tmp_path, layout):
    tensors, path = make(layout), tmp_path / "x.safetensors"
    size = store.write(path, tensors, {"kind": "test"})
    assert size == path.stat().st_size
    found = safetensors.torch.load_file(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@examples
@given(layout=layouts)
def test_we_read_what_the_reference_library_writes(tmp_path, layout):
    tensors, path = make(layout), tmp_path / "x.safetensors"
    safetensors.torch.save_file(tensors, path, {"kind": "test"})
    found = store.read(path)
    assert found.keys() == tensors.keys()
    assert found.header.metadata == {"kind": "test"}
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@examples
@given(cut=st.integers(0, 10_000))
def test_a_truncated_file_is_always_recognised(file, cut):
    short = file.with_name("short.safetensors")
    content = file.read_bytes()
    short.write_bytes(content[: cut % len(content)])
    with pytest.raises(WeightsError):
        store.header(short)


@examples
@given(content=st.binary(max_size=200), framed=st.booleans())
def test_any_bytes_are_refused_with_our_error(tmp_path, content, framed):
    path = tmp_path / "noise.safetensors"
    path.write_bytes((struct.pack("<Q", len(content)) if framed else b"") + content)
    with pytest.raises(WeightsError):
        store.header(path)


def test_the_header_tells_shapes_dtypes_and_metadata(tmp_path):
    path = tmp_path / "x.safetensors"
    store.write(path, {"a": torch.ones(2, 3), "b": torch.ones(4).half()}, {"k": "v"})
    header = store.header(path)
    assert header.shapes == {"a": (2, 3), "b": (4,)}
    assert header.dtypes == {"a": torch.float32, "b": torch.float16}
    assert header.metadata == {"k": "v"}


def test_the_same_tensors_give_the_same_bytes_in_any_order(tmp_path):
    tensors = {"a": torch.ones(2), "b": torch.zeros(3).half(), "c": torch.ones(1)}
    store.write(tmp_path / "1", tensors, {"x": "1", "y": "2"})
    backwards = dict(reversed(tensors.items()))
    store.write(tmp_path / "2", backwards, {"y": "2", "x": "1"})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_views_are_written_as_they_look(tmp_path):
    wide = torch.arange(12.0).view(3, 4)
    store.write(
        tmp_path / "x", {"t": wide.t(), "row": wide[1], "e": wide[:1].expand(2, 4)}
    )
    found = store.read(tmp_path / "x")
    assert torch.equal(found["t"], wide.t())
    assert torch.equal(found["row"], wide[1])
    assert torch.equal(found["e"], wide[:1].expand(2, 4))


def test_only_floating_point_tensors_are_cast(tmp_path):
    path = tmp_path / "x.safetensors"
    store.write(path, {"f": torch.ones(2) / 3, "i": torch.arange(2)})
    found = store.read(path, dtype=torch.bfloat16)
    assert torch.equal(found["f"], (torch.ones(2) / 3).bfloat16())
    assert found["i"].dtype == torch.int64


def test_tensors_come_on_the_device_asked_for(file):
    assert store.read(file, device="meta")["a"].is_meta


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts reads on Linux")
def test_only_the_tensor_asked_for_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    store.write(path, {"big": torch.zeros(1 << 20), "small": torch.ones(1000)})

    def bytes_read():
        return int(Path("/proc/self/io").read_text().split()[1])

    before = bytes_read()
    store.read(path)["small"]
    assert bytes_read() - before < 20_000


def test_a_reader_survives_that_its_file_is_replaced(file):
    tensors = store.read(file)
    store.write(file, {"a": torch.zeros(9)})
    assert torch.equal(tensors["a"], torch.arange(6.0).view(2, 3))


def test_changing_the_file_does_not_change_a_tensor_read(file):
    tensor = store.read(file)["a"]
    file.write_bytes(bytes(file.stat().st_size))
    assert torch.equal(tensor, torch.arange(6.0).view(2, 3))


def test_a_file_cut_while_open_is_reported(file):
    tensors = store.read(file)
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(WeightsError, match="was cut while it was read"):
        list(tensors.values())


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(
        WeightsError, match=r"^cannot read weights .*No such file[^\n]*$"
    ):
        store.header(tmp_path / "none.safetensors")


def test_a_truncated_file_says_how_many_bytes_there_should_be(file):
    size = file.stat().st_size
    os.truncate(file, size - 5)
    with pytest.raises(
        WeightsError, match=f"cut short: it has {size - 5} of {size} bytes"
    ):
        store.header(file)


def test_an_official_file_names_the_command_that_converts_it(golden):
    with pytest.raises(
        WeightsError, match=r"run: worldweave convert .*base_model\.pt .*"
    ):
        store.header(golden / "base_model.pt")


def test_an_old_pickle_is_known_as_pytorch_too(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"a": torch.ones(1)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match="is a PyTorch file"):
        store.header(path)


def test_an_lfs_pointer_is_known(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    with pytest.raises(WeightsError, match="git lfs pull"):
        store.header(path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "contradicts itself"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}, "contradicts itself"),
        ({"dtype": "F4", "shape": [1], "data_offsets": [0, 4]}, "not a safetensors"),
        ({"dtype": "F32", "shape": [1]}, "not a safetensors"),
        ([1], "not a safetensors"),
    ],
)
def test_a_damaged_header_is_refused(tmp_path, about, message):
    text = json.dumps({"a": about}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(WeightsError, match=message):
        store.header(path)


def failing(error):
    def make():
        raise error

    return store.Deferred(dtype=torch.float32, shape=(2,), make=make)


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), KeyboardInterrupt(), MemoryError()]
)
def test_a_failed_write_leaves_no_file(tmp_path, error):
    tensors = {"a": torch.ones(2), "b": failing(error)}
    with pytest.raises(type(error)):
        store.write(tmp_path / "x.safetensors", tensors)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(file):
    before = file.read_bytes()
    with pytest.raises(RuntimeError):
        store.write(file, {"a": failing(RuntimeError("x"))})
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_is_explained(tmp_path, number):
    path = tmp_path / "x.safetensors"
    with pytest.raises(
        WorldweaveError, match=r"cannot write .*x\.safetensors: .*free some"
    ):
        store.write(path, {"a": failing(OSError(number, os.strerror(number)))})
    assert list(tmp_path.iterdir()) == []


def test_a_file_larger_than_the_disk_is_refused_at_once(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    huge = store.Deferred(
        dtype=torch.uint8, shape=(free * 10,), make=lambda: torch.ones(1)
    )
    with pytest.raises(WorldweaveError, match=r"free but [\d.]+ .B are needed"):
        store.write(tmp_path / "x.safetensors", {"a": huge})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_explained(tmp_path):
    with pytest.raises(WorldweaveError, match="there is no folder"):
        store.write(tmp_path / "no" / "x.safetensors", {})


def test_a_folder_in_place_of_the_file_is_explained(tmp_path):
    with pytest.raises(WorldweaveError, match="it is a folder"):
        store.write(tmp_path, {})
    assert list(tmp_path.parent.glob(f".{tmp_path.name}*")) == []


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(OSError, match="Input/output"):
        store.write(tmp_path / "x", {"a": failing(OSError(errno.EIO, "Input/output"))})


def test_a_dtype_the_format_lacks_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"a is torch\.complex64, which cannot"):
        store.write(tmp_path / "x", {"a": torch.ones(2, dtype=torch.complex64)})


def test_a_deferred_tensor_must_be_as_announced(tmp_path):
    wrong = store.Deferred(
        dtype=torch.float32, shape=(2,), make=lambda: torch.ones(3, dtype=torch.float64)
    )
    with pytest.raises(WeightsError, match=r"announced as torch.float32 \(2,\) but is"):
        store.write(tmp_path / "x", {"a": wrong})


def test_a_new_file_has_the_usual_permissions(file):
    other = file.with_name("other")
    other.touch()
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_deferred_tensors_are_made_one_after_another(tmp_path):
    alive, most = 0, 0

    def make():
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        tensor = torch.ones(5)
        weak = tensor.untyped_storage()

        class Watch:
            def __del__(self):
                nonlocal alive
                alive -= 1

        weak.watch = Watch()
        return tensor

    item = store.Deferred(dtype=torch.float32, shape=(5,), make=make)
    store.write(tmp_path / "x", {str(n): item for n in range(4)})
    assert most == 1
