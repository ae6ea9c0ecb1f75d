"""Maps, labels and prompts that cannot be: one line each, which names a way out."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from worldweave.io import video

ON = "--video in.mp4 --steps 1 --weights edge=edge.safetensors "
SEER = """
import numpy, worldweave

@worldweave.hookimpl
def worldweave_map(prompt, video):
    if "crooked" in prompt:
        return numpy.zeros((3, 3), numpy.float32)
    red = (video[..., 0] > 150) & (video[..., 1] < 100)
    return (red if "car" in prompt else red & False).astype(numpy.float32)
"""


def install_seer(site):
    """Put a distribution on a path that answers prompts and has no modality."""
    info = site / "acme_seer-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_seer.py").write_text(SEER)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-seer\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\nseer = acme_seer\n")


def maps(**forms):
    """Controls whose maps are objects, as flags."""
    said = [shlex.quote(f"{name}={json.dumps(form)}") for name, form in forms.items()]
    return ON + " ".join(f"--control {each}" for each in said)


# What to run after `worldweave generate --out OUT`, and what must be said of it.
REQUESTS = {
    "a map of another length by time": (
        maps(edge={"file": "nine.npy", "fps": 24, "match": "time"}),
        "lasts 0.375 s",
        'length to "hold" or "loop"',
    ),
    "an unknown length policy": (
        maps(edge={"file": "nine.npy", "length": "stretch"}),
        "controls.edge.map.length",
        "it is 'stretch'",
        "give 'error' or 'hold' or 'loop'",
    ),
    "a misspelt key of a map": (
        maps(edge={"file": "ramp.npy", "lenght": "hold"}),
        "controls.edge.map.lenght is unknown",
        "did you mean 'length'",
    ),
    "a form nobody knows": (
        maps(edge={"paint": "red"}),
        "'paint' is no form of a map",
        "boxes",
        "rule",
    ),
    "JSON that is none": (
        ON + "--control 'edge={\"rule\": oops}'",
        "--control edge: ",
        "is not JSON",
        "at column 10",
    ),
    "a negative box": (
        maps(edge={"boxes": [{"box": [0, 0, 1, 1], "value": -0.5}]}),
        "'edge'",
        "-0.5",
        "0",
    ),
    "a product with a value above one": (
        maps(edge={"product": [0.5, 1.5]}),
        "'edge': product[1] is 1.5",
        "from 0 to 1",
    ),
    "a feather of nothing": (
        maps(edge={"feather": 0.5, "pixels": -1}),
        "feather is -1 pixels",
        "give 0 or more",
    ),
    # labels, rules, objects, prompts
    "an empty rule": (maps(edge={"rule": " ; "}), "the rule is empty", "write it as"),
    "a rule without labels": (
        maps(edge={"rule": "car -> 1; else -> 0"}),
        "there are no labels",
        "add labels",
    ),
    "an empty prompt": (maps(edge={"prompt": " "}), "prompt is empty", "say what"),
    "objects of nothing": (
        maps(edge={"foreground": 1, "background": 0}),
        "needs to know the objects",
        "give labels",
    ),
    "a learned map that is missing": (
        maps(edge={"learned": "gone.safetensors"}),
        "'gone.safetensors'",
        "check the path",
    ),
    "a branch for learned maps": (
        maps(edge={"learned": "edge.safetensors"}),
        "edge.safetensors holds",
        "not learned maps",
        "worldweave train maps",
    ),
    "a computed learned map": (
        maps(edge={"product": [0.5, {"learned": "base"}]}),
        "cannot be computed with",
        "leave the",
    ),
}


def assert_said(line, parts):
    for part in parts:
        assert part in line


@pytest.mark.parametrize("case", REQUESTS.values(), ids=REQUESTS)
def test_a_bad_map_is_refused(case, refused, out):
    command, *parts = case
    (line,) = refused("generate", "--out", out, *shlex.split(command))
    assert_said(line, parts)


def test_a_prompt_nobody_answers_is_refused(refused, out, monkeypatch):
    monkeypatch.setenv("WORLDWEAVE_DISABLE", "grounding")
    command = shlex.split(maps(edge={"prompt": "the car"}))
    (line,) = refused("generate", "--out", out, *command)
    assert_said(line, ["no plugin answers 'the car'", "worldweave[grounding]"])


# Labels, and plugins that look at the video


@pytest.fixture
def labelled(tmp_path):
    """A picture of two classes, a column of a third colour, and ways to name them."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[40:] = (200, 0, 0)
    path = tmp_path / "labels.png"
    video.write_png(path, picture)
    stray = picture.copy()
    stray[:, :5] = (0, 0, 250)
    video.write_png(tmp_path / "stray.png", stray)

    def spec(file="labels.png", rule="road -> 1; else -> 0", **classes):
        classes = classes or {"sky": [0, 0, 0], "road": [200, 0, 0]}
        plain = {
            "video": str(Path("in.mp4").absolute()),
            "labels": {"file": str(tmp_path / file), "classes": classes},
            "controls": {"edge": {"rule": rule}},
        }
        written = tmp_path / "request.json"
        written.write_text(json.dumps(plain))
        return [*("--spec", written, "--weights", "edge=edge.safetensors")]

    return spec


def test_colours_of_no_class_are_counted(refused, labelled, out):
    (line,) = refused("generate", "--out", out, *labelled("stray.png"))
    assert_said(line, ["stray.png: 320 pixels", "(0, 0, 250)", "add them"])


def test_a_class_the_labels_do_not_have_is_named(refused, labelled, out):
    rule = "raod -> 1; else -> 0"
    (line,) = refused("generate", "--out", out, *labelled(rule=rule))
    assert_said(line, ["map of 'edge'", "'raod'", "did you mean 'road'", "'sky'"])


def test_a_class_no_clause_names_is_named(refused, labelled, out):
    (line,) = refused("generate", "--out", out, *labelled(rule="road -> 1"))
    assert_said(line, ["map of 'edge'", "no clause names 'sky'", "else -> 0.0"])


def test_two_classes_of_one_colour_are_refused(refused, labelled, out):
    twice = {"sky": [0, 0, 0], "road": [0, 0, 0]}
    (line,) = refused("generate", "--out", out, *labelled(**twice))
    assert_said(line, ["'sky'", "'road'"])


@pytest.fixture
def seer(tmp_path, monkeypatch):
    """A plugin that sees the red car, and no rabbit."""
    install_seer(tmp_path / "seeing")
    monkeypatch.syspath_prepend(tmp_path / "seeing")
    monkeypatch.delitem(sys.modules, "acme_seer", raising=False)


@pytest.mark.usefixtures("seer")
def test_a_prompt_that_finds_nothing_is_refused_unless_allowed(refused, run, out):
    nothing = maps(edge={"prompt": "a rabbit"})
    (line,) = refused("generate", "--out", out, *shlex.split(nothing))
    assert_said(line, ["'edge'", "'a rabbit' is nowhere", "allow_empty"])
    allowed = maps(edge={"prompt": "a rabbit", "allow_empty": True})
    ran = run("generate", "--out", out, *shlex.split(allowed))
    assert ran.code == 0, ran.stderr
    assert "edge did not run: its map is 0 everywhere" in ran.stdout


@pytest.mark.usefixtures("seer")
def test_a_plugin_that_answers_wrongly_is_named(refused, out):
    """The fault is the plugin's; the line says so."""
    crooked = maps(edge={"prompt": "something crooked"})
    (line,) = refused("generate", "--out", out, *shlex.split(crooked))
    assert "a plugin answered" in line
    assert "it must return (10, 64, 96)" in line


@pytest.mark.parametrize("policy", ["hold", "loop"])
def test_a_map_shorter_than_the_video_may_be_held_or_looped(run, out, policy):
    ready = maps(edge={"file": "nine.npy", "length": policy})
    ran = run("generate", "--out", out, *shlex.split(ready))
    assert ran.code == 0, ran.stderr
    assert out.exists()
