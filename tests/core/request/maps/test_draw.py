"""Every form of a map, alone and computed with, drawn on a scene or refused."""

from fractions import Fraction

import attrs
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from worldweave.io import video
from worldweave.request.labels.video import LabelVideo
from worldweave.request.maps.draw import Scene, draw, map_problems, needs_model
from worldweave.request.maps.shapes import Canvas
from worldweave.request.sources import (
    Box,
    Boxes,
    Feather,
    File,
    Keyframe,
    Keyframes,
    Learned,
    Maximum,
    Product,
    Prompt,
    Rule,
    Salient,
    maximum,
)
from worldweave.request.walk import maps_in
from worldweave_registry import PluginError, Problems, WorldweaveError

SHAPE = (8, 6, 10)
CANVAS = Canvas(frames=8, size=(6, 10), fps=Fraction(24))
SCENE = Scene(canvas=CANVAS)
UNIT = st.floats(0, 1, width=32)
LEFT = Boxes(boxes=[Box(box=(0, 0, 0.5, 1))])
LEFT_DRAWN = np.zeros((1, 6, 10), np.float32)
LEFT_DRAWN[..., :5] = 1.0


def seeing(answer, **more):
    source = np.zeros((*SHAPE, 3), np.uint8)
    return Scene(canvas=CANVAS, source=source, see=lambda prompt: answer, **more)


def refused(value, scene=SCENE, kind=WorldweaveError):
    with pytest.raises(kind) as caught:
        draw("edge", value, scene)
    message = str(caught.value)
    assert "edge" in message
    assert "\n" not in message
    return message


# --- forms -------------------------------------------------------------------


@given(UNIT)
def test_a_number_is_one_voxel(value):
    for number in (value, np.float32(value), np.float64(value)):
        found = draw("edge", number, SCENE)
        assert found.shape == (1, 1, 1)
        assert found.dtype == np.float32
        assert found.item() == value


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (8, 4, 6)])
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_an_array_is_a_picture_or_one_per_frame(shape, make):
    array = np.random.default_rng(0).random(shape, np.float32)
    found = draw("edge", make(array), SCENE)
    assert np.array_equal(found, array.reshape(-1, 4, 6))


@pytest.mark.parametrize("frames", [2, 7, 9])
def test_an_array_of_another_length_is_refused(frames):
    assert (
        f"map of 'edge' has {frames} frames but the video has 8; give one per frame or "
        "a single image"
    ) in refused(np.zeros((frames, 4, 6)))


def test_a_function_is_drawn():
    found = draw("edge", lambda t, y, x: x < 0.5, SCENE)
    assert np.array_equal(np.broadcast_to(found, (1, 6, 10)), LEFT_DRAWN)
    assert "the map function of 'edge' failed: ZeroDivisionError" in refused(
        lambda t, y, x: 1 / 0
    )


def test_boxes_and_keyframes_are_drawn():
    assert np.array_equal(draw("edge", LEFT, SCENE), LEFT_DRAWN)
    rising = [Keyframe(time=0, value=0), Keyframe(time=8 / 24, value=1)]
    found = draw("edge", Keyframes(keyframes=rising), SCENE)
    assert found.ravel().tolist() == pytest.approx([n / 8 for n in range(8)])


# --- files -------------------------------------------------------------------


def test_a_text_is_a_file(tmp_path):
    path = tmp_path / "map.npy"
    array = np.random.default_rng(0).random(SHAPE, np.float32)
    np.save(path, array)
    for value in (str(path), path, File(file=path)):
        assert np.array_equal(draw("edge", value, SCENE), array)


@pytest.mark.parametrize("switch", range(1, 4))
def test_a_video_of_half_the_rate_switches_at_the_right_frame(tmp_path, switch):
    path = tmp_path / "map.mp4"
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    frames[switch:] = 255
    video.write(path, frames, 12)
    found = draw("edge", str(path), SCENE)
    assert found.shape == (8, 16, 16)
    bright = (found.mean(axis=(1, 2)) > 0.5).tolist()
    assert bright == [n >= 2 * switch for n in range(8)]


def test_match_fps_and_length_are_heeded(tmp_path):
    path = tmp_path / "map.npy"
    np.save(path, np.linspace(0, 1, 4, dtype=np.float32).reshape(4, 1, 1))
    wanted = {
        (None, "hold"): [0, 1, 2, 3, 3, 3, 3, 3],
        (None, "loop"): [0, 1, 2, 3, 0, 1, 2, 3],
        (12, "error"): [0, 0, 1, 1, 2, 2, 3, 3],
        (6, "hold"): [0, 0, 0, 0, 1, 1, 1, 1],
    }
    for (fps, length), shown in wanted.items():
        file = File(file=path, fps=fps, length=length)
        found = draw("edge", file, SCENE).ravel() * 3
        assert found.round().tolist() == shown
    by_number = File(file=path, fps=12, match="frames", length="hold")
    assert draw("edge", by_number, SCENE).ravel()[4] == 1
    assert "map.npy has 4 frames but the video has 8" in refused(str(path))


def test_a_picture_serves_all_frames(tmp_path):
    path = tmp_path / "map.png"
    video.write_png(path, np.full((4, 6, 3), 255, np.uint8))
    assert (
        draw("edge", File(file=path, fps=3), SCENE).tolist()
        == np.ones((1, 4, 6)).tolist()
    )


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "map.npy"
    path.write_text("words")
    assert "map.npy cannot be read" in refused(str(path))


# --- what needs the scene ----------------------------------------------------

LABELS = LabelVideo(
    ids=np.repeat(np.array([[[0, 0, 1, 2]]], np.uint8), 8, axis=0),
    names=("floor", "arm", "cup"),
)


def test_a_rule_is_drawn_from_the_labels():
    rule = Rule(rule="arm -> 1; cup -> 0.5; else -> 0")
    found = draw("edge", rule, attrs.evolve(SCENE, labels=LABELS))
    assert found.shape == (8, 1, 4)
    assert found[7, 0].tolist() == [0, 0, 1, 0.5]


def test_a_rule_without_labels_is_refused():
    assert "no labels; add labels to the request" in refused(Rule(rule="a -> 1"))


def test_an_unknown_class_names_the_map():
    found = refused(
        Rule(rule="arn -> 1; else -> 0"), attrs.evolve(SCENE, labels=LABELS)
    )
    assert "'arn'" in found
    assert "'arm'" in found


def test_a_prompt_is_what_a_plugin_sees():
    answer = np.zeros(SHAPE)
    answer[2:, 3] = 0.5
    found = draw("edge", Prompt(prompt="the robot"), seeing(answer))
    assert found.dtype == np.float32
    assert np.array_equal(found, answer.astype(np.float32))
    tensor = torch.from_numpy(answer).bfloat16()
    assert np.array_equal(found, draw("edge", Prompt(prompt="it"), seeing(tensor)))
    mask = draw("edge", Prompt(prompt="it"), seeing(answer > 0))
    assert np.array_equal(mask, (answer > 0).astype(np.float32))


def test_the_plugin_is_asked_what_the_prompt_says():
    asked = []
    scene = attrs.evolve(
        seeing(None), see=lambda prompt: asked.append(prompt) or np.ones(SHAPE)
    )
    draw("edge", Prompt(prompt="the robot"), scene)
    assert asked == ["the robot"]


@pytest.mark.parametrize(
    ("scene", "told"),
    [
        (SCENE, "'the robot', but there is no video to look at; give a source video"),
        (seeing(None), "no plugin answers 'the robot'; install one that implements wo"),
        (attrs.evolve(seeing(None), see=None), r"for instance worldweave[grounding]"),
        (seeing(np.zeros(SHAPE)), "'the robot' is nowhere in the video; say it in"),
    ],
)
def test_a_prompt_that_gets_no_map_is_refused(scene, told):
    assert told in refused(Prompt(prompt="the robot"), scene)


def test_a_prompt_that_finds_nothing_may_be_allowed():
    prompt = Prompt(prompt="the robot", allow_empty=True)
    assert not draw("edge", prompt, seeing(np.zeros(SHAPE))).any()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (np.ones((6, 10)), "shape (6, 10); it must return (8, 6, 10)"),
        (np.ones((7, 6, 10)), "shape (7, 6, 10)"),
        (np.full(SHAPE, np.nan), "is nan at frame 0, row 0, column 0"),
        (np.full(SHAPE, 255.0), "from 255 to 255"),
        (np.full(SHAPE, -0.5), "from -0.5 to -0.5"),
        (np.ones(SHAPE, np.uint8), "with uint8; it must return floats"),
        ("words", "with str; it must return floats"),
    ],
)
def test_a_wrong_answer_is_the_plugins_fault(answer, told):
    prompt = Prompt(prompt="it", allow_empty=True)
    assert told in refused(prompt, seeing(answer), PluginError)


def test_salient_gives_one_value_to_objects_and_one_to_all_else():
    mask = np.zeros(SHAPE, np.bool_)
    mask[3:, 2] = True
    scene = attrs.evolve(SCENE, foreground=lambda: mask)
    found = draw("edge", Salient(foreground=0.75, background=0.25), scene)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.where(mask, 0.75, 0.25))
    assert "no objects" in refused(Salient(foreground=1, background=0))


# --- arithmetic --------------------------------------------------------------


def test_maps_compute_as_they_are_written():
    found = draw("edge", 0.5 * LEFT, SCENE)
    assert np.array_equal(found, np.float32(0.5) * LEFT_DRAWN)
    assert np.array_equal(draw("edge", 1 - LEFT, SCENE), 1 - LEFT_DRAWN)
    found = draw("edge", maximum(0.25, LEFT, 0.125), SCENE)
    assert np.array_equal(found, np.maximum(LEFT_DRAWN, 0.25))
    ramp = draw("edge", LEFT.feathered(4), SCENE)[0, 0]
    wanted = [1, 1, 1, 0.875, 0.625, 0.375, 0.125, 0, 0, 0]
    assert ramp.tolist() == pytest.approx(wanted)


@given(st.lists(UNIT, min_size=1, max_size=4))
def test_numbers_compute_to_numbers(numbers):
    least = draw("edge", 1 - maximum(*numbers), SCENE)
    assert least.shape == (1, 1, 1)
    assert least.item() == np.float32(1) - np.float32(max(numbers))
    pair = draw("edge", Product(product=numbers[:2]), SCENE).item()
    assert pair == np.prod(np.array(numbers[:2], np.float32))


def test_forms_nest_to_any_depth(tmp_path):
    np.save(tmp_path / "map.npy", np.full(SHAPE, 0.5))
    deep = maximum(0.5 * (1 - LEFT.feathered(2)), np.zeros((6, 10)))
    value = Product(product=(deep, str(tmp_path / "map.npy"), lambda t, y, x: t < 0.1))
    found = draw("edge", value, SCENE)
    assert found.shape == SHAPE
    assert found[0, 0].tolist() == pytest.approx(
        [0, 0, 0, 0, 0.0625, 0.1875, 0.25, 0.25, 0.25, 0.25]
    )
    assert not found[3:].any()


def test_a_walk_meets_every_part_once():
    value = maximum(0.5 * LEFT, (1 - Prompt(prompt="it")).feathered(3))
    kinds = [type(part).__name__ for part in maps_in(value)]
    wanted = "Maximum Product float Boxes Feather Inverse Prompt"
    assert kinds == wanted.split()


def test_only_a_prompt_needs_a_model():
    assert needs_model(0.5 * (1 - Prompt(prompt="it")).feathered(3))
    assert not needs_model(0.5 * maximum(LEFT, Salient(foreground=1, background=0)))
    assert not needs_model(0.5)


# --- problems ----------------------------------------------------------------


def test_a_text_that_is_no_file_is_told_what_to_write():
    assert map_problems("edge", "the robot") == [
        "map of 'edge' is 'the robot', which is neither a number nor a file; give a "
        "number from 0 to 1, check the path, or for a map from text write "
        '{"prompt": "the robot"}'
    ]


@pytest.mark.parametrize("text", ["gone.png", "maps/gone", "maps\\gone", "a b.mp4", ""])
def test_a_name_of_a_file_is_not_taken_for_a_prompt(text):
    (problem,) = map_problems("edge", text)
    assert problem.endswith("give a number from 0 to 1, or check the path")


@pytest.mark.parametrize("make", [str, lambda name: File(file=name)])
def test_what_is_no_file_to_read_is_told(tmp_path, make):
    (problem,) = map_problems("edge", make(str(tmp_path)))
    assert f"{str(tmp_path)!r}" in problem
    assert "is a folder; give one file" in problem
    (problem,) = map_problems("edge", make("/dev/null"))
    assert "is not a regular file; give one file" in problem


#: Of a wrong kind, each in what it says of itself: a line, where in the map, is told.
WRONG_KINDS = [
    (
        Boxes(boxes=[(0, 0, 0.5, 1)]),
        "boxes[0] is (0, 0, 0.5, 1); give a worldweave.map",
    ),
    (Boxes(boxes=Box(box=(0, 0, 1, 1))), "boxes is Box(box=(0.0,"),
    (
        Boxes(boxes=[Box(box="0011")]),
        "boxes[0].box is '0011'; give a list of 4 numbers",
    ),
    (Boxes(boxes=[Box(box=(0, 0, 1))]), "boxes[0].box is (0.0, 0.0, 1.0); give a list"),
    (Boxes(boxes=[Box(box=(0, 0, 1, "1"))]), "boxes[0].box[3] is '1'; give a number"),
    (
        Boxes(boxes=[Box(box=(0, 0, 1, 1), value="1")]),
        "boxes[0].value is '1'; give a n",
    ),
    (
        Boxes(boxes=[Box(box=(0, 0, 1, 1), end=True)]),
        "boxes[0].end is True; give a num",
    ),
    (
        Keyframes(keyframes=[Keyframe(time=None)]),
        "keyframes[0].time is None; give a nu",
    ),
    (Keyframes(keyframes=5), "keyframes is 5; give a list"),
    (Rule(rule=None), "rule is None; give text"),
    (Prompt(prompt="it", allow_empty=1), "allow_empty is 1; give True or False"),
    (Salient(foreground="1", background=0), "foreground is '1'; give a number"),
    (Salient(foreground=1, background=None), "background is None; give a number"),
    (Learned(scale=None), "scale is None; give a number"),
    (Learned(learned=None), "learned is None; give text"),
    (Feather(feather=0.5, pixels="3"), "pixels is '3'; give a number"),
    (File(file=None), "file is None; give text"),
    (
        File(file=__file__, match="tme"),
        "match is 'tme'; give 'frames' or 'time'; did yo",
    ),
    (
        File(file=__file__, length="hld"),
        "length is 'hld'; give 'error' or 'hold' or 'l",
    ),
    (File(file=__file__, match=["time"]), "match is ['time']; give 'frames' or 'time'"),
    (File(file=__file__, fps="12"), "fps is '12'; give a number"),
    (Product(product=__file__), "give a list"),
    (Product(product=LEFT), "product is Boxes("),
    (Maximum(max={"file": "m.png"}), "give a list"),
]


@pytest.mark.parametrize(("value", "told"), WRONG_KINDS)
def test_a_field_of_a_wrong_kind_is_told(value, told):
    (problem,) = map_problems("edge", value)
    assert problem.startswith("map of 'edge': ")
    assert told in problem
    nested = map_problems("edge", 0.5 * value)[-1]
    assert nested == problem.replace("'edge': ", "'edge': product[1]: ")
    assert told in refused(value, kind=Problems)


def test_all_fields_of_a_wrong_kind_are_told_at_once():
    value = Feather(feather=Salient(foreground="1", background=None), pixels="3")
    assert map_problems("edge", value) == [
        "map of 'edge': pixels is '3'; give a number",
        "map of 'edge': feather: foreground is '1'; give a number",
        "map of 'edge': feather: background is None; give a number",
    ]


def test_numbers_of_numpy_are_numbers_in_forms_too():
    value = Feather(feather=np.float32(0.5), pixels=np.int64(3))
    box = Box(box=np.array([0, 0, 1, 1]), value=np.float32(0.5), end=np.float64(1))
    assert map_problems("edge", maximum(value, Boxes(boxes=[box]))) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            Boxes(boxes=[Box(box=(0, 0, 1, 1), start=1 / 3)]),
            "box 1 begins at 0.333333 s",
        ),
        (
            0.5 * Boxes(boxes=[LEFT.boxes[0], Box(box=(0, 0, 1, 1), start=9, end=10)]),
            "box 2 begins at 9 s, but the video ends at 0.333333 s; give seconds",
        ),
        (
            Keyframes(keyframes=[Keyframe(time=8), Keyframe(time=9)]),
            "keyframe 1 begins",
        ),
    ],
)
def test_what_begins_after_the_video_is_refused_unless_that_is_cut(value, told):
    assert told in refused(value, kind=Problems)
    draw("edge", value, Scene(canvas=attrs.evolve(CANVAS, whole=None)))
    draw("edge", value, Scene(canvas=attrs.evolve(CANVAS, whole=300)))
    with pytest.raises(Problems, match="begins"):
        draw("edge", value, Scene(canvas=attrs.evolve(CANVAS, frames=4, whole=8)))


def test_what_begins_with_the_last_frame_is_drawn():
    last = Boxes(boxes=[Box(box=(0, 0, 1, 1), start=7 / 24)])
    assert draw("edge", last, SCENE)[:, 0, 0].tolist() == [0.0] * 7 + [1.0]
    late = Keyframes(keyframes=[Keyframe(time=7 / 24), Keyframe(time=99, value=0)])
    assert draw("edge", late, SCENE)[7].item() == 1.0


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1.5, "map of 'edge' is 1.5; give a number from 0 to 1"),
        (-0.1, "is -0.1"),
        (float("nan"), "is nan"),
        (float("inf"), "is inf"),
        (True, "it is True, a bool"),
        (None, "it is None, a NoneType"),
        ({"rule": "x"}, "a dict; give a number"),
        ("x" * 5000, "neither a number nor a file"),
        ("a\0b", "neither a number nor a file"),
        ("a\nb", r'{"prompt": "a\nb"}'),
        (np.full((2, 2), 3.0), "holds values from 3 to 3"),
        (np.zeros((4, 4), np.int32), "holds int32"),
        (File(file="gone.npy"), "there is no file 'gone.npy'"),
        (Boxes(boxes=[Box(box=(1, 0, 0, 1))]), "right of box 1"),
        (Keyframes(keyframes=[]), "there are no keyframes"),
        (Rule(rule=""), "map of 'edge': "),
        (Prompt(prompt=" "), "the prompt is empty"),
        (Salient(foreground=2, background=0), "foreground is 2"),
        (Salient(foreground=0, background=-1), "background is -1"),
        (Learned(scale=2), "scale is 2"),
        (Learned(learned="gone.safetensors"), "there is no file 'gone.safetensors'"),
        (Product(product=()), "there is nothing to compute with"),
        (Maximum(max=()), "there is nothing to compute with"),
        (Feather(feather=0.5, pixels=-1), "feather is -1 pixels wide"),
        (Feather(feather=0.5, pixels=float("inf")), "feather is inf pixels wide"),
        (0.5 * Learned(), "a learned map cannot be computed with; leave the arith"),
        (Feather(feather=0.5, pixels=2e5), "200000 pixels wide; give 100000 or less"),
        (Feather(feather=0.5, pixels=1e300), "pixels wide; give 100000 or less"),
        (File(file=__file__, fps=1e-300), "fps is 1e-300; give frames per second"),
        (File(file=__file__, fps=1001), "fps is 1001; give frames per second"),
        (1 - (2 * LEFT), "map of 'edge': invert.product[0] is 2; give a number"),
        (
            maximum(0.5, 0.5 * Feather(feather=LEFT, pixels=-1)),
            "map of 'edge': max[1].product[1]: feather is -1 pixels wide",
        ),
        (
            Product(product=(0.5, np.full((2, 2), 3.0))),
            "map of 'edge': product[1] holds values from 3 to 3",
        ),
        (maximum(0.5, "gone.png"), "is 'gone.png', which is neither"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_read(value, told):
    (problem,) = map_problems("edge", value)
    assert told in problem
    assert "map of 'edge'" in problem
    assert told in refused(value, kind=Problems)


def test_all_problems_are_told_at_once(tmp_path):
    (tmp_path / "map.npy").touch()
    file = File(file=tmp_path / "map.npy", fps=0)
    found = map_problems("edge", maximum(2, 3 * file, "gone.png", Learned()))
    assert [problem.split("; ")[0][:35] for problem in found] == [
        "map of 'edge': a learned map cannot",
        "map of 'edge': max[0] is 2",
        "map of 'edge': max[1].product[0] is",
        "map of 'edge': max[1].product[1]: f",
        "map of 'edge': max[2] is 'gone.png'",
    ]


@pytest.mark.parametrize(
    "value", [0, 1, 0.5, LEFT, Learned(), Rule(rule="a -> 1"), Prompt(prompt="it")]
)
def test_what_is_right_has_no_problems(value):
    assert map_problems("edge", value) == []


def test_a_learned_map_is_not_drawn():
    assert "predicted from the hints" in refused(Learned())
