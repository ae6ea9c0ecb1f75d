"""All a request names, looked at before any model; and the paper's robots."""

import json
import sys

import attrs
import cv2
import numpy as np
import pytest

from worldweave import Control, Problems, Request
from worldweave.diffusion.sampler import noise_levels
from worldweave.generate.blend import Blend
from worldweave.maps import (
    Box,
    Boxes,
    File,
    Labels,
    Learned,
    Objects,
    Product,
    Prompt,
    Rule,
    Salient,
    Schedule,
    maximum,
)
from worldweave.request.maps.draw import draw
from worldweave.request.maps.tokens import on_tokens
from worldweave.request.plan import complete
from worldweave.request.structure import from_json
from worldweave.request.survey import survey
from worldweave_registry import PluginError, discover

SEER = """
import numpy, worldweave

asked = []

@worldweave.hookimpl
def worldweave_map(prompt, video):
    asked.append(prompt)
    if prompt == "crash":
        raise ValueError("out of memory")
    return (video[..., 0] > (255 if prompt == "a rabbit" else 150)).astype(float)
"""


@pytest.fixture
def seer(tmp_path, monkeypatch):
    """A plugin that sees what is red, and remembers what it was asked."""
    site = tmp_path / "site"
    info = site / "acme_sight-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_sight.py").write_text(SEER)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-sight\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\nsight = acme_sight\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "acme_sight", raising=False)
    yield lambda: sys.modules["acme_sight"].asked
    sys.modules.pop("acme_sight", None)


def asked(clip, **controls):
    """Controls by modality; each has a ready video, so none is missing."""
    found = {
        name: value if isinstance(value, Control) else Control(map=value)
        for name, value in controls.items()
    }
    return Request(
        video=clip,
        controls={n: attrs.evolve(c, video=c.video or clip) if n == "seg" else c
                  for n, c in found.items()},
    )  # fmt: skip


def look(request, available=lambda *_: [], **also):
    return survey(request, discover(), available, **also)


def problems(request, *arguments, **also):
    with pytest.raises(Problems) as caught:
        look(request, *arguments, **also)
    assert all("\n" not in line for line in caught.value.problems)
    return caught.value.problems


# --- what runs ---------------------------------------------------------------


def test_what_will_run_is_sorted_and_why_the_rest_will_not_is_told(clip):
    dark = np.zeros((10, 3, 3), np.float32)
    looked = look(asked(clip, vis=0.5, depth=0, seg=0.2, edge=dark))
    assert list(looked.prepared) == list(looked.maps) == ["seg", "vis"]
    assert looked.left_out == {
        "depth": "its map is 0",
        "edge": "its map is 0 everywhere",
    }
    assert looked.pending == ()
    assert looked.learned == {}


@pytest.mark.parametrize(
    ("value", "schedule", "why"),
    [
        (Learned(scale=0), None, "its map is 0"),
        (Product(product=(0, Prompt(prompt="it"))), None, "its map is 0"),
        (maximum(0, 0 * File(file="gone.npy")), None, "its map is 0"),
        (Salient(foreground=0, background=0).feathered(2), None, "its map is 0"),
        (0.5, Schedule(linear=(0, 0)), "its schedule is 0 at every step"),
        (0.5, Schedule(interval=(79.99, 79.995)), "its schedule is 0 at every step"),
        (Prompt(prompt="it"), Schedule(linear=(0, 0)), "its schedule is 0 at every"),
    ],
)
def test_what_is_surely_nothing_needs_no_model_and_does_not_run(
    clip, value, schedule, why, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    np.save("gone.npy", np.ones((2, 2)))
    request = asked(clip, edge=Control(map=value, schedule=schedule), vis=0.5)
    request = attrs.evolve(request, objects=Objects(masks="a car."))
    looked = look(request)
    assert list(looked.prepared) == ["vis"]
    assert looked.left_out["edge"].startswith(why)
    assert looked.pending == ()
    assert looked.learned == {}


def test_an_interval_below_where_denoising_starts_is_never_reached(clip):
    late = Control(map=0.5, schedule=Schedule(interval=(1, 80)))
    request = attrs.evolve(asked(clip, edge=late, vis=0.5), sigma_max=0.5)
    assert list(look(request).prepared) == ["vis"]
    assert list(look(attrs.evolve(request, sigma_max=2.0)).prepared) == ["edge", "vis"]


def test_regions_of_one_name_are_told_apart(clip, tmp_path):
    ids = np.zeros((64, 96), np.uint8)
    ids[:, 48:] = 1
    cv2.imwrite(str(tmp_path / "ids.png"), ids)
    classes = {"0": "everywhere", "1": "car"}
    request = asked(
        clip,
        edge=Rule(rule="everywhere -> 1; * -> 0.5"),
        vis=Rule(rule="* -> 0.5"),
    )
    labels = Labels(file=tmp_path / "ids.png", classes=classes)
    found = look(attrs.evolve(request, labels=labels)).regions()
    shares = {name: float(region.mean()) for name, region in found.items()}
    assert shares == {"everywhere (edge)": 0.5, "*": 0.5, "* (vis)": 1.0}


def test_what_needs_eyes_is_refused_without_a_source(clip):
    controls = {
        "edge": Control(map=Prompt(prompt="it"), video=clip),
        "vis": Control(map=Salient(foreground=1, background=0), video=clip),
    }
    request = Request(controls=controls, objects=Objects(masks="a car."))
    assert list(problems(request)) == [
        f"map of {name!r} needs a source video to look at; give one"
        for name in ("edge", "vis")
    ]
    blank = attrs.evolve(request, video=clip, objects=Objects(masks=" "))
    assert problems(blank)[0].startswith("objects.masks is ' '; give 'labels', or")


def test_maps_are_kept_on_the_rows_and_columns_of_the_tokens(clip):
    large = np.random.default_rng(0).random((10, 128, 192), np.float32)
    looked = look(asked(clip, edge=large, vis=0.5))
    assert looked.maps["edge"].shape == (10, 8, 12)
    assert looked.maps["vis"].shape == (1, 1, 1)
    wanted = large.reshape(10, 8, 16, 12, 16).mean(axis=(2, 4))
    np.testing.assert_allclose(looked.maps["edge"], wanted, atol=1e-6)


def test_the_released_code_gets_maps_as_they_were_drawn(clip):
    large = np.random.default_rng(0).random((10, 128, 192), np.float32)
    request = attrs.evolve(asked(clip, edge=large), compat="cosmos-transfer1")
    assert np.array_equal(look(request).maps["edge"], large)


def test_a_default_map_is_the_modalitys(clip):
    looked = look(asked(clip, edge=None))
    assert looked.maps["edge"].item() == discover().find("edge").default_map


def test_no_controls_are_fine(clip):
    looked = look(asked(clip))
    assert (looked.prepared, looked.maps, looked.left_out) == ({}, {}, {})


# --- models wait -------------------------------------------------------------


def test_no_model_runs_before_the_request_is_known_to_be_sound(clip, seer):
    later = Product(product=(0.5, Prompt(prompt="the car")))
    looked = look(asked(clip, edge=later, vis=0.5))
    assert looked.pending == ("edge",)
    assert list(looked.maps) == ["vis"]
    assert seer() == []
    done = complete(looked)
    assert seer() == ["the car"]
    red = (clip[..., 0] > 150).reshape(10, 8, 8, 12, 8).mean(axis=(2, 4)) / 2
    np.testing.assert_allclose(done.maps["edge"], red, atol=1e-6)


def test_with_any_problem_no_model_runs(clip, seer):
    request = attrs.evolve(asked(clip, edge=Prompt(prompt="the car")), seed=-1)
    assert len(problems(request)) == 1
    assert seer() == []


def test_what_models_find_wrong_is_told_together(clip, seer):
    crash, rabbit = Prompt(prompt="crash"), Prompt(prompt="a rabbit")
    with pytest.raises((Problems, PluginError)) as caught:
        complete(look(asked(clip, edge=crash, vis=rabbit, seg=0.1)))
    first, second = caught.value.problems
    assert first.startswith("map of 'edge': ")
    assert "out of memory" in first
    assert second.startswith("map of 'vis': ")
    assert "'a rabbit' is nowhere" in second


def test_a_prompt_that_may_find_nothing_leaves_its_branch_out(clip, seer):
    nothing = Prompt(prompt="a rabbit", allow_empty=True)
    done = complete(look(asked(clip, edge=nothing, vis=0.5)))
    assert list(done.prepared) == list(done.controls) == ["vis"]
    assert done.left_out == {"edge": "its map is 0 everywhere"}


def test_objects_by_prompt_wait_and_by_labels_do_not(clip, tmp_path):
    ids = np.zeros((64, 96), np.uint8)
    ids[20:40, 30:60] = 1
    cv2.imwrite(str(tmp_path / "ids.png"), ids)
    labels = Labels(file=tmp_path / "ids.png", classes={"0": "road", "1": "car"})
    request = asked(clip, edge=Salient(foreground=1, background=0))
    by_labels = look(attrs.evolve(request, labels=labels))
    assert by_labels.pending == ()
    assert set(by_labels.regions()) == {"foreground", "background"}
    share = (ids == 1).reshape(8, 8, 12, 8).mean(axis=(1, 3))
    np.testing.assert_allclose(by_labels.regions()["foreground"][0], share, atol=1e-6)
    by_prompt = look(attrs.evolve(request, objects=Objects(masks="a car.")))
    assert by_prompt.pending == ("edge",)
    assert by_prompt.regions() == {}


# --- problems ----------------------------------------------------------------


def test_all_problems_come_at_once_and_each_once(clip, tmp_path):
    np.save(tmp_path / "nine.npy", np.zeros((9, 2, 2), np.float32))
    np.save(tmp_path / "nan.npy", np.full((2, 2), np.nan, np.float32))
    request = attrs.evolve(
        asked(
            clip,
            edge=Control(map=str(tmp_path / "nine.npy"), schedule=Schedule()),
            vis=Product(product=(1.5, str(tmp_path / "nan.npy"))),
            depth=Rule(rule="car > 1"),
            seg=Boxes(boxes=[Box(box=(0, 0, 2, 1))]),
            egde=0.5,
        ),
        steps=0,
    )
    lines = problems(
        request, lambda name, *_: [f"no weights for {name}"], also=["mine"]
    )
    said = "\n".join(lines)
    for part in (
        "mine",
        "steps is 0",
        "'egde'",
        "nine.npy has 9 frames",
        "schedule of 'edge' has nothing",
        "map of 'vis': product[0] is 1.5",
        "map of 'depth': rule: 'car > 1' has no '->'",
        "map of 'seg': ",
        "no weights for depth",
    ):
        assert sum(part in line for line in lines) == 1, (part, said)
    assert len(lines) == len(set(lines))


def test_a_wrong_map_of_a_modality_that_stays_out_is_told(clip):
    """At map 0 nothing is read, but what is plainly wrong is still said."""
    bad = Control(map=0, schedule=Schedule(linear=(2, 0)))
    assert len(problems(asked(clip, edge=bad))) == 1


def test_labels_that_cannot_be_read_are_told_once(clip):
    request = attrs.evolve(
        asked(
            clip, edge=Rule(rule="car -> 1"), vis=Salient(foreground=1, background=0)
        ),
        labels=Labels(file="gone.mp4", classes={"car": [1, 2, 3]}),
    )
    (line,) = problems(request)
    assert "gone.mp4" in line


# --- the paper's robots ------------------------------------------------------

COLOURS = {
    (0, 0, 0): "BACKGROUND",
    (25, 82, 255): "world_robot_arm",
    (140, 25, 255): "gripper_left",
    (255, 197, 25): "table",
    (25, 255, 140): "mug",
}
KEYWORDS = ("world_robot", "gripper", "robot")

#: The two settings of the paper for robots (its Table 3).
SETTING_1 = """{"video": "in.mp4", "labels": {"file": "isaac", "layout": "isaac"},
 "controls": {
  "edge": {"rule": "*robot*, *gripper* -> 1; else -> 0"},
  "vis": {"rule": "*robot*, *gripper* -> 1; else -> 0"},
  "seg": {"rule": "*robot*, *gripper* -> 0; else -> 1"}}}"""
SETTING_2 = """{"video": "in.mp4", "labels": {"file": "isaac", "layout": "isaac"},
 "controls": {
  "edge": {"rule": "*robot*, *gripper* -> 1; else -> 0"},
  "seg": {"rule": "*robot*, *gripper* -> 0; else -> 1"}}}"""
#: What the released script gives (foreground, background) in each.
RELEASED = {
    SETTING_1: {"edge": (1, 0), "vis": (1, 0), "seg": (0, 1)},
    SETTING_2: {"edge": (1, 0), "seg": (0, 1)},
}


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """Ten frames of an arm over a table, as Isaac Replicator writes them."""
    random = np.random.default_rng(0)
    colours = list(COLOURS)
    pictures = np.empty((10, 64, 96, 3), np.uint8)
    for at, picture in enumerate(pictures):
        picture[:40], picture[40:] = colours[0], colours[3]
        picture[44:52, 70:80] = colours[4]
        picture[10 + at : 34 + at, 20 + 2 * at : 30 + 2 * at] = colours[1]
        picture[34 + at : 40 + at, 18 + 2 * at : 32 + 2 * at] = colours[2]
        speck = random.integers(0, 60, 2)
        picture[speck[0], speck[1]] = colours[2]
    folder = tmp_path_factory.mktemp("kitchen") / "isaac"
    for name in ("segmentation", "segmentation_label"):
        (folder / name).mkdir(parents=True)
    table = {f"({r}, {g}, {b}, 255)": {"class": c} for (r, g, b), c in COLOURS.items()}
    for at, picture in enumerate(pictures):
        file = folder / "segmentation" / f"segmentation_{at:04d}.png"
        alpha = np.full((64, 96, 1), 255, np.uint8)
        cv2.imwrite(str(file), np.concatenate([picture[..., ::-1], alpha], axis=2))
        # Only what is in a frame is in its table.
        (folder / "segmentation_label" / f"label_{at:04d}.json").write_text(
            json.dumps(table)
        )
    return folder, pictures


def released_weights(pictures, foreground, background):
    """The released algorithm: the nearest colour's class, robot by keyword."""
    colours = np.array(list(COLOURS))
    away = ((pictures[..., None, :].astype(int) - colours) ** 2).sum(axis=-1)
    is_robot = np.array([any(k in name for k in KEYWORDS) for name in COLOURS.values()])
    return np.where(is_robot[away.argmin(axis=-1)], foreground, background)


@pytest.mark.parametrize("text", [SETTING_1, SETTING_2], ids=["1", "2"])
def test_six_lines_give_the_weights_of_the_released_script(text, kitchen, clip):
    assert len(text.splitlines()) <= 6
    folder, pictures = kitchen
    request = from_json(text)
    labels = attrs.evolve(request.labels, file=folder)
    seg = attrs.evolve(request.controls["seg"], video=clip)
    request = attrs.evolve(
        request, video=clip, labels=labels, controls={**request.controls, "seg": seg}
    )
    looked = look(request)
    wanted = {
        name: released_weights(pictures, *values)
        for name, values in RELEASED[text].items()
    }
    for name, values in wanted.items():
        drawn = draw(name, request.controls[name].map, looked.scene)
        assert np.array_equal(drawn, values.astype(np.float32))
    # Together they share one: on a robot edge and vis have half each.
    tokens = on_tokens(looked.maps, 0, 10, looked.grid)
    used = Blend(values=tokens, schedules={}, levels=noise_levels(2)).effective()
    cells = {n: v.reshape(10, 8, 8, 12, 8).mean(axis=(2, 4)) for n, v in wanted.items()}
    total = np.maximum(1, sum(cells.values())[0])
    for name, each in used.items():
        asked_for = cells[name][0]
        np.testing.assert_allclose(each[0], asked_for / total, atol=1e-6)
    robot, rest = looked.regions().values()
    np.testing.assert_allclose(robot, cells["edge"], atol=1e-6)
    np.testing.assert_allclose(rest, 1 - robot, atol=1e-6)


def test_the_tiny_base_brings_learned_maps_for_all_its_modalities(clip):
    names = ("depth", "edge", "hdmap", "lidar", "seg", "vis")
    controls = {name: Control(map=Learned(), video=clip) for name in names}
    looked = look(Request(video=clip, controls=controls))
    assert tuple(looked.learned) == names
    assert looked.maps == {}
