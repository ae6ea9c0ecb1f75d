"""Clips of somebody else's maker are looked at before a training takes them."""

import sys

import attrs
import numpy as np
import pytest
import torch

from worldweave.base import Clip
from worldweave_registry import Lazy, PluginError, Recipe, WorldweaveError

REPORT = "report it to toy 1: https://example.com/toy/issues"
FRAMES = (5, 16, 16, 3)

MAKER = """
import numpy as np
from worldweave.base import Clip
from worldweave_registry import Recipe, WorldweaveError

ROOM = (5, 16, 16, 3)

def clip(**changes):
    given = {"video": np.zeros(ROOM, np.uint8), "prompt": "a"}
    return Clip(**(given | changes))

def make(seed, count):
    BODY

RECIPE = Recipe(steps=1, learning_rate=0.1, dataset="toy_maker:make")
"""


@pytest.fixture
def made(setup, tmp_path, monkeypatch):
    """Return what makes six clips with a maker whose body is given."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(body, **changes):
        text = MAKER.replace("BODY", body.replace("\n", "\n    "))
        (tmp_path / "toy_maker.py").write_text(text)
        monkeypatch.delitem(sys.modules, "toy_maker", raising=False)
        maker = Lazy("toy_maker:make", report=REPORT)
        return list(setup(**changes).make_clips(maker, 1, 6))

    return make


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise KeyError('night')", "the maker of clips {} failed: KeyError: 'night'"),
        ("return None", "the maker of clips {} failed: TypeError: .*not iterable"),
        ("yield clip()\nraise OSError('no disk')", "clip 1 of {} failed: OSError: no"),
        ("yield dict(video=1)", "clip 0 of {}: it is a dict, expected a worldweave.C"),
        (
            "yield clip()\nyield clip(video=np.zeros((4, 16, 16, 3), np.uint8))",
            r"clip 1 of {}: its video is uint8 \(4, 16, 16, 3\), expected uint8 "
            r"\(5, 16, 16, 3\) \(T, H, W, 3\) for base 'toy'",
        ),
        ("yield clip(video=np.zeros(ROOM))", "clip 0 of {}: its video is float64 "),
        ("yield clip(video=[1])", "clip 0 of {}: its video is a list, expected uint8"),
        ("yield clip(prompt=None)", "clip 0 of {}: its prompt is None, expected text"),
        (
            "yield clip(controls={'seg': np.zeros(ROOM[:3], np.uint8)})",
            r"clip 0 of {}: its control 'seg' is uint8 \(5, 16, 16\), expected uint8 "
            r"\(5, 16, 16, 3\)",
        ),
        ("yield clip(controls=[1])", "clip 0 of {}: its controls are a list, expecte"),
        ("return []", "toy_maker:make makes no clip where 6 were asked for"),
    ],
)
def test_a_clip_that_is_none_is_refused_with_what_it_should_be(made, body, says):
    with pytest.raises(PluginError, match=says.format("toy_maker:make")) as failure:
        made(body)
    assert str(failure.value).endswith(f"; {REPORT}")


def test_what_a_maker_says_to_the_user_stays_that(made):
    with pytest.raises(WorldweaveError) as failure:
        made("raise WorldweaveError('mount the disk of films')")
    assert str(failure.value) == (
        "the maker of clips toy_maker:make: mount the disk of films"
    )


def test_fewer_clips_are_told_and_no_more_are_taken_than_asked_for(made):
    said = []
    assert len(made("yield clip()", say=said.append)) == 1
    assert said == ["toy_maker:make makes 1 clip where 6 were asked for"]
    assert len(made("while True: yield clip()", say=said.append)) == 6
    assert len(said) == 1


def test_clips_have_any_size_of_the_base_but_all_the_same(base, made):
    sizes = ((16, 16), (8, 16))
    wide = attrs.evolve(base.description, sizes=sizes)
    body = "for size in {}: yield clip(video=np.zeros((5, *size, 3), np.uint8))"
    made(body.format([(8, 16), (8, 16)]), base=wide)
    with pytest.raises(PluginError, match=r"clip 1 .* expected uint8 \(5, 8, 16, 3\) "):
        made(body.format([(8, 16), (16, 16)]), base=wide)


def test_what_a_training_does_with_a_clip_is_not_blamed_on_its_maker(setup, made):
    made("yield clip()")
    clips = setup().make_clips(Lazy("toy_maker:make"), 1, 1)
    next(clips)
    with pytest.raises(KeyError):
        clips.throw(KeyError("of the training"))


def test_the_dataset_of_a_recipe_is_reported_to_whom_the_recipe_is(setup, made):
    made("yield clip()")
    lazy = Lazy("toy_maker:RECIPE", plugin="toy", report=REPORT)
    recipe = setup().recipe(lazy, "the toy")
    assert isinstance(recipe, Recipe)
    assert (recipe.dataset.plugin, recipe.dataset.report) == ("toy", REPORT)


def test_a_maker_is_told_the_device_if_it_asks(setup, tmp_path, monkeypatch):
    (tmp_path / "toy_placed.py").write_text(
        "import numpy as np\n"
        "from worldweave.base import Clip\n"
        "def placed(seed, count, *, device='cpu'):\n"
        f"    return [Clip(video=np.zeros({FRAMES}, np.uint8), prompt=str(device))]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    here = setup(device=torch.device("meta"))
    (clip,) = here.make_clips(Lazy("toy_placed:placed"), 1, 1)
    assert isinstance(clip, Clip)
    assert np.array_equal(clip.video, np.zeros(FRAMES, np.uint8))
    assert clip.prompt == "meta"
