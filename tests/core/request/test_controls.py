"""Every file of a request is read once, brought to one size, and checked together."""

from fractions import Fraction
from typing import ClassVar

import attrs
import cv2
import numpy as np
import pytest

from worldweave import Control, Modality, PluginError, Problems, Request
from worldweave.io import video
from worldweave.request.check import Prepared, weights_problems
from worldweave.request.controls import make_controls, read_footage
from worldweave.request.plan import make_plan
from worldweave_registry import Catalog, Hooks, Plugin, State, discover

CATALOG = discover()
TINY = CATALOG.find_base("tiny-world")
WIDE = attrs.evolve(
    TINY, name="wide", sizes=[(64, 96), (96, 64), (32, 128)], fps=30 / 1.001
)


def prepared(name, **fields):
    modality = CATALOG.find(name)
    control = Control(**{"map": 1.0, **fields})
    made = None if modality.preprocessor is None else modality.preprocessor.load()()
    return Prepared(modality=modality, control=control, preprocessor=made)


def footage(base=TINY, source=None, max_frames=None, **controls):
    """Read what is asked for; the keywords are ready control videos."""
    ready = {name: prepared(name, video=ready) for name, ready in controls.items()}
    request = Request(
        video=source,
        max_frames=max_frames,
        controls={name: each.control for name, each in ready.items()},
    )
    return read_footage(request, base, ready)


def only(found):
    footage, problems = found
    assert problems == []
    return footage


def test_the_source_leads(clip, source):
    read = only(footage(source=source, edge=clip))
    assert (read.frames, read.size, read.seen_size) == (10, (64, 96), (64, 96))
    assert read.fps == 24
    assert (read.source == video.read(source).frames).all()
    assert (read.ready["edge"] == clip).all()


def test_without_a_source_the_first_ready_control_leads(clip, tmp_path):
    path = tmp_path / "edge.mp4"
    video.write(path, clip[:5], Fraction(30000, 1001))
    read = only(footage(edge=path, vis=clip[:5]))
    assert read.source is None
    assert (read.frames, read.fps) == (5, Fraction(30000, 1001))


def test_a_control_at_zero_may_lead(clip):
    request = Request(controls={"edge": Control(map=0.0, video=clip)})
    read, problems = read_footage(request, TINY, {})
    assert problems == []
    assert (read.frames, read.ready) == (10, {})


def test_arrays_have_the_rate_of_the_base(clip):
    assert only(footage(source=clip)).fps == 24
    assert only(footage(WIDE, source=clip)).fps == Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((64, 96), (64, 96)),
        ((720, 1280), (64, 96)),
        ((97, 53), (96, 64)),
        ((2, 2), (96, 64)),
        ((9, 40), (32, 128)),
    ],
)
def test_the_size_is_the_nearest_of_the_base(shape, size):
    read = only(footage(WIDE, source=np.zeros((1, *shape, 3), np.uint8)))
    assert read.seen_size == shape
    assert read.size == size
    assert read.source.shape == (1, *size, 3)


def test_a_control_of_another_size_is_brought_to_that_of_the_source(clip):
    small = np.stack([cv2.resize(frame, (30, 20)) for frame in clip])
    read = only(footage(source=clip, edge=small))
    assert read.ready["edge"].shape == clip.shape


def test_labels_keep_their_colours_and_other_controls_do_not():
    labels = np.zeros((1, 100, 150, 3), np.uint8)
    labels[:, 33:, 77:] = 255
    read = only(footage(edge=labels, seg=labels))
    assert set(np.unique(read.ready["seg"])) == {0, 255}
    assert len(np.unique(read.ready["edge"])) > 2


def test_max_frames_cuts_every_video(clip, source):
    read = only(footage(source=source, edge=clip[:3], max_frames=3))
    assert read.frames == len(read.source) == len(read.ready["edge"]) == 3


@pytest.mark.parametrize(
    ("frames", "said"),
    [(9, "has 9 frames but the video has 10"), (1, "has 1 frames but the video has")],
)
def test_a_control_shorter_than_the_video_is_refused(clip, frames, said):
    (problem,) = footage(source=clip, edge=clip[:frames])[1]
    assert problem.startswith(f"control video of 'edge' {said}")
    assert problem.endswith(f"or set max_frames to {frames}")


def test_a_control_longer_than_the_video_is_refused(clip):
    (problem,) = footage(source=clip[:4], edge=clip)[1]
    assert "'edge' has 10 frames but the video only 4; cut it" in problem


def test_the_length_is_counted_and_not_believed(clip, tmp_path):
    """A file whose header counts ten frames, of which its edit list shows five."""
    path = tmp_path / "in.mp4"
    video.write(path, clip, 24)
    stored = bytearray(path.read_bytes())
    duration = stored.index(b"elst") + 12
    stored[duration : duration + 4] = round(5 * 1000 / 24).to_bytes(4, "big")
    path.write_bytes(stored)
    assert video.probe(path).frames == 10
    assert only(footage(source=path, edge=clip[:5])).frames == 5


def test_all_unreadable_videos_are_named(tmp_path):
    none, problems = footage(
        source=tmp_path / "a.mp4", edge=tmp_path / "b.mp4", vis=tmp_path / "c.mp4"
    )
    assert none is None
    assert [problem.split(";")[0] for problem in problems] == [
        f"there is no file {tmp_path / name}" for name in ("a.mp4", "b.mp4", "c.mp4")
    ]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 4, 4, 3), np.float32),
        np.zeros((2, 4, 4), np.uint8),
        np.zeros((2, 4, 4, 4), np.uint8),
        np.zeros((0, 4, 4, 3), np.uint8),
        np.zeros((2, 4, 0, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_frames_are_refused(array, clip):
    for found in (footage(source=array), footage(source=clip, edge=array)):
        (problem,) = found[1]
        assert str(array.shape) in problem
        assert "give" in problem


def test_without_a_base_problems_still_come_to_light(clip):
    read, problems = footage(None, source=clip, edge=clip[:2])
    assert read.size == (64, 96)
    assert len(problems) == 1


def test_a_control_is_made_from_the_source_at_the_size_of_the_base(clip):
    large = np.repeat(np.repeat(clip, 3, axis=1), 3, axis=2)
    read = only(footage(source=large))
    made = make_controls(read, {"edge": prepared("edge")})
    assert made["edge"].shape == (10, 64, 96, 3)
    assert (made["edge"] == prepared("edge").preprocessor(read.source)).all()


def test_a_ready_control_is_used_as_it_is(clip):
    read = only(footage(source=clip, edge=255 - clip))
    ready = prepared("edge", video=255 - clip)
    assert (make_controls(read, {"edge": ready})["edge"] == 255 - clip).all()


def test_a_preprocessor_cannot_spoil_the_source(clip):
    def spoil(frames):
        frames[:] = 0
        return frames

    read = only(footage(source=clip.copy()))
    each = attrs.evolve(prepared("edge"), preprocessor=spoil)
    assert not make_controls(read, {"edge": each})["edge"].any()
    assert (read.source == clip).all()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda frames: 1 // 0, "'edge' failed: ZeroDivisionError: integer division"),
        (lambda frames: frames[1:], r"'edge' gave uint8 \(9, 64, 96, 3\), expected"),
        (lambda frames: frames * 1.0, "'edge' gave float64"),
        (lambda frames: None, "'edge' gave NoneType, expected uint8"),
    ],
)
def test_a_preprocessor_that_breaks_its_promise_is_named(made, said, clip):
    read = only(footage(source=clip))
    each = attrs.evolve(prepared("edge"), preprocessor=made)
    with pytest.raises(PluginError, match=said):
        make_controls(read, {"edge": each})


# Plans


def never(name, prepared, base):
    return [f"{name} cannot run on {base.name}"]


def always(name, prepared, base):
    return []


def plan(available=always, also=(), catalog=CATALOG, **fields):
    return make_plan(Request(**fields), catalog, available, also=also)


def test_a_plan_holds_what_denoising_needs(clip):
    made = plan(video=clip, controls={"vis": Control(map=0.2), "edge": Control()})
    assert list(made.prepared) == list(made.controls) == list(made.maps)
    assert list(made.maps) == ["edge", "vis"]
    assert made.maps["vis"].item() == np.float32(0.2)
    assert made.base == TINY
    assert (made.frames, made.size, made.fps) == (10, (64, 96), 24)


def test_the_order_of_the_controls_is_forgotten(clip):
    names = ["edge", "vis"]
    plans = [
        plan(video=clip, controls={name: Control() for name in order})
        for order in (names, names[::-1])
    ]
    assert list(plans[0].prepared) == list(plans[1].prepared) == names


@pytest.mark.parametrize("dead", [0, np.zeros((4, 4)), np.zeros((10, 2, 2), np.uint8)])
def test_a_modality_that_is_zero_everywhere_is_neither_asked_for_nor_made(clip, dead):
    def explode(name, prepared, base):
        raise AssertionError(name)

    made = plan(explode, video=clip, controls={"edge": Control(map=dead)})
    assert made.prepared == made.controls == made.maps == {}


def test_a_map_file_of_zeros_is_dead_too(clip, tmp_path):
    np.save(tmp_path / "dead.npy", np.zeros((8, 8), np.float32))
    controls = {"edge": Control(map=tmp_path / "dead.npy")}
    assert plan(never, video=clip, controls=controls).maps == {}


def test_problems_of_names_files_maps_and_weights_come_together(clip, tmp_path):
    np.save(tmp_path / "long.npy", np.ones((11, 4, 4), np.float32))
    controls = {
        "egde": Control(),
        "edge": Control(map=tmp_path / "long.npy"),
        "vis": Control(map=2.0, video=clip[:9]),
        "seg": Control(map=tmp_path / "gone.npy", video=tmp_path / "gone.mp4"),
    }
    with pytest.raises(Problems) as caught:
        plan(never, ["out is bad"], video=clip, seed=-1, controls=controls)
    starts = [
        "out is bad",
        "seed is -1",
        "no plugin supplies the modality 'egde'",
        "control video of 'vis' has 9 frames",
        f"there is no file {tmp_path / 'gone.mp4'}",
        "map of 'vis' is 2.0",
        f"map of 'seg' is '{tmp_path / 'gone.npy'}', which is neither",
        f"map of 'edge' from {tmp_path / 'long.npy'} has 11 frames",
        "edge cannot run on tiny-world",
        "seg cannot run on tiny-world",
        "vis cannot run on tiny-world",
    ]
    for problem, start in zip(caught.value.problems, starts, strict=True):
        assert problem.startswith(start)


def test_values_of_a_wrong_kind_are_found_before_anything_else():
    with pytest.raises(Problems) as caught:
        plan(also=["out is bad"], video=3, steps="x", controls={"egde": Control()})
    assert caught.value.problems == (
        "out is bad",
        "video is 3; give a file or an array",
        "steps is 'x'; give a whole number",
    )


@attrs.frozen(kw_only=True)
class Telling:
    """A preprocessor that tells when it ran."""

    ran: ClassVar[list[int]] = []

    def __call__(self, frames):
        self.ran.append(len(frames))
        return frames


def test_no_preprocessor_runs_where_something_is_wrong(clip):
    tell = Modality(
        name="tell", summary="x", license="MIT", preprocessor=f"{__name__}:Telling"
    )
    plugin = Plugin(
        name="tell",
        distribution="acme",
        version="1",
        state=State.READY,
        modalities=(tell,),
    )
    catalog = Catalog(plugins=(*CATALOG.plugins, plugin), hook=Hooks({}))
    controls = {"tell": Control()}
    with pytest.raises(Problems, match="seed is -1"):
        plan(catalog=catalog, video=clip, seed=-1, controls=controls)
    assert Telling.ran == []
    plan(catalog=catalog, video=clip, controls=controls)
    assert Telling.ran == [10]


def test_a_modality_may_be_named_with_its_distribution(clip, branch_file):
    name = "edge@worldweave"
    controls = {name: Control(weights=branch_file("edge"))}
    made = plan(weights_problems, video=clip, controls=controls)
    assert list(made.controls) == [name]
