"""A zero map: its branch is neither loaded nor run, and no bit shows it was asked."""

import sys

import attrs
import numpy as np
import pytest

from worldweave import Control, Request
from worldweave.diffusion.sampler import noise_levels
from worldweave.generate.load import load_for
from worldweave.io import video
from worldweave.maps import Box, Boxes, Keyframe, Keyframes, Labels, Rule, Schedule
from worldweave.request.check import weights_problems
from worldweave.request.plan import make_plan
from worldweave_registry import discover

_OPENED = None


def _note(event, arguments):
    if event == "open" and _OPENED is not None:
        _OPENED.append(str(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture
def opened():
    """Every file this process opens, by whatever means Python has."""
    global _OPENED
    _OPENED = []
    yield _OPENED
    _OPENED = None


@pytest.fixture
def forwards(pipeline):
    """Count the forward passes of the base and of each branch."""
    counted = dict.fromkeys(["base", *pipeline.active], 0)

    def count(name):
        def hook(*_):
            counted[name] += 1

        return hook

    modules = {n: active.branch for n, active in pipeline.active.items()}
    handles = [
        module.register_forward_hook(count(name))
        for name, module in [("base", pipeline.base.dit), *modules.items()]
    ]
    yield counted
    for handle in handles:
        handle.remove()


def first_chunk(value):
    """On in the first nine of eighteen frames."""
    values = np.zeros((18, 1, 1), np.float32)
    values[:9] = value
    return values


ZEROS = {
    "number": 0,
    "array": np.zeros((10, 4, 4), np.float32),
    "bytes": np.zeros((4, 4), np.uint8),
    "function": lambda t, y, x: 0 * (t + y + x),
    "keyframes": Keyframes(keyframes=[Keyframe(time=0, value=0.0)]),
    "box": Boxes(boxes=[Box(box=(0, 0, 1, 1), value=0)]),
    "product": 0.0 * Boxes(boxes=[Box(box=(0, 0, 1, 1))]),
    "inverse": 1 - Boxes(boxes=[Box(box=(0, 0, 1, 1))]),
    "rule": Rule(rule="road -> 0; else -> 0.0"),
}


@pytest.fixture
def asked(clip, branch_file, tmp_path):
    """A request with edge at 0.7, labels, and vis at what is given."""
    ids = np.zeros((64, 96, 3), np.uint8)
    ids[40:] = 200
    video.write_png(tmp_path / "labels.png", ids)
    classes = {"sky": [0, 0, 0], "road": [200, 200, 200]}

    def make(vis=None):
        found = {
            "edge": Control(map=0.7, weights=branch_file("edge")),
            "vis": Control(map=vis, weights=branch_file("vis")),
        }
        return Request(
            prompt="a street",
            video=clip,
            steps=1,
            guidance=0.0,
            labels=Labels(file=tmp_path / "labels.png", classes=classes),
            controls={n: c for n, c in found.items() if c.map is not None},
        )

    return make


@pytest.fixture(scope="module")
def loaded_alone(clip, branch_file):
    """What edge makes without vis ever being spoken of."""
    controls = {"edge": Control(map=0.7, weights=branch_file("edge"))}
    request = Request(
        prompt="a street", video=clip, steps=1, guidance=0.0, controls=controls
    )
    return follow(request)[1]


def follow(request):
    catalog = discover()
    plan = make_plan(request, catalog, weights_problems)
    pipeline = load_for(plan, catalog)
    return pipeline, pipeline.follow(plan)


@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS)
def test_a_zero_map_is_never_loaded(zero, asked, opened, branch_file):
    plan = make_plan(asked(zero), discover(), weights_problems)
    assert list(plan.prepared) == list(plan.controls) == ["edge"]
    assert plan.left_out["vis"] in ("its map is 0", "its map is 0 everywhere")
    assert str(branch_file("vis")) not in opened


@pytest.mark.parametrize("name", ["number", "array", "rule"])
def test_no_file_of_a_dead_branch_is_opened(
    name, asked, opened, branch_file, loaded_alone
):
    pipeline, made = follow(asked(ZEROS[name]))
    assert str(branch_file("edge")) in opened
    assert str(branch_file("vis")) not in opened
    assert list(pipeline.active) == ["edge"]
    assert [n for n in made.weights if n.startswith("branch")] == ["branch edge"]
    assert np.array_equal(made.frames, loaded_alone.frames)


def test_the_count_of_files_can_fail(asked, opened, branch_file):
    """With a map that is not zero the branch is read, and the counter sees it."""
    almost = np.zeros((10, 4, 4), np.float32)
    almost[9, 3, 3] = 0.01
    follow(asked(almost))
    assert str(branch_file("vis")) in opened


@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS)
def test_a_zero_map_never_runs(zero, asked, pipeline, forwards, loaded_alone):
    request = attrs.evolve(asked(zero))
    made = pipeline.run(request)
    assert forwards["vis"] == 0
    assert forwards["edge"] == forwards["base"] == 4  # two chunks, two evaluations
    assert np.array_equal(made.frames, loaded_alone.frames)
    assert list(made.effective) == list(made.controls) == ["edge"]


def test_a_dead_branch_changes_no_byte_of_the_file(
    asked, pipeline, loaded_alone, tmp_path
):
    made = pipeline.run(asked(ZEROS["array"]))
    files = [
        each.save(tmp_path / f"{name}.mp4", report=False).read_bytes()
        for name, each in (("with", made), ("without", loaded_alone))
    ]
    assert files[0] == files[1]


def test_in_a_chunk_where_its_map_is_zero_a_branch_does_not_run(
    generate, pipeline, clip, forwards
):
    source = np.concatenate([clip[:9], clip[:9]])
    how = {"overlap": 0, "steps": 2}
    off = generate(pipeline, source, **how)
    assert forwards == {"base": 6, "edge": 0, "vis": 0}
    made = generate(pipeline, source, maps={"edge": first_chunk(0.8), "vis": 0}, **how)
    assert forwards == {"base": 12, "edge": 3, "vis": 0}
    assert np.array_equal(made.frames[9:], off.frames[9:])
    assert not np.array_equal(made.frames[:9], off.frames[:9])


def with_schedules(request, **schedules):
    controls = {
        name: attrs.evolve(control, schedule=schedules.get(name))
        for name, control in request.controls.items()
    }
    return attrs.evolve(request, controls=controls, steps=4, max_frames=9)


def test_in_an_interval_a_branch_runs_only_at_those_steps(asked, pipeline, forwards):
    levels = noise_levels(4)
    last_two = Schedule(interval=(0, float(levels[3]) * 1.01))
    pipeline.run(with_schedules(asked(0.5), vis=last_two))
    assert forwards == {"base": 5, "edge": 5, "vis": 2}


def test_an_interval_no_step_lies_in_runs_nothing_and_changes_no_bit(
    asked, pipeline, forwards
):
    never = Schedule(interval=(79.9, 79.95))
    made = pipeline.run(with_schedules(asked(0.5), vis=never))
    assert forwards == {"base": 5, "edge": 5, "vis": 0}
    alone = pipeline.run(with_schedules(asked()))
    assert np.array_equal(made.frames, alone.frames)
    assert "vis" not in made.effective


def test_a_linear_schedule_to_zero_skips_the_last_step(asked, pipeline, forwards):
    fading = Schedule(linear=(1, 0))
    pipeline.run(with_schedules(asked(0.5), vis=fading))
    assert forwards == {"base": 5, "edge": 5, "vis": 4}


def test_a_constant_schedule_changes_no_bit(asked, pipeline):
    plain = pipeline.run(with_schedules(asked(0.5)))
    for schedule in (Schedule(linear=(1, 1)), Schedule(interval=(0, 80))):
        made = pipeline.run(with_schedules(asked(0.5), vis=schedule))
        assert np.array_equal(made.frames, plain.frames)


def test_when_a_schedule_acts_is_seen_in_the_video(asked, pipeline):
    levels = noise_levels(4)
    middle = float(levels[2])
    plain = pipeline.run(with_schedules(asked(0.5)))
    early = Schedule(interval=(middle, 80))
    late = Schedule(interval=(0, middle * 0.99))
    made = [pipeline.run(with_schedules(asked(0.5), vis=s)) for s in (early, late)]
    for one, other in ((plain, made[0]), (plain, made[1]), (made[0], made[1])):
        assert not np.array_equal(one.frames, other.frames)
