"""Options that a recipe lets vary are drawn for each clip, and can be drawn again."""

import importlib
import sys

import attrs
import numpy as np
import pytest
import torch

from worldweave.train.branch import branch_task, task_of
from worldweave.train.loop import Trainer
from worldweave.train.pairs import VariedPairs
from worldweave.train.random_options import RandomOptions
from worldweave_registry import Modality, PluginError, Problems, discover

TINT = """
import attrs
import numpy as np
from worldweave_registry import WorldweaveError

BUILT, MADE = [], []

@attrs.frozen(kw_only=True)
class Tint:
    shade: int = 0
    low: int = 0
    high: int = 255

    def __attrs_post_init__(self):
        BUILT.append(self.shade)
        if not 0 <= self.shade <= 255:
            raise WorldweaveError(f"shade is {self.shade}; give 0 to 255")
        if self.low > self.high:
            raise WorldweaveError(f"low is {self.low} and high is {self.high}")

    def __call__(self, frames):
        if self.shade == 13:
            raise ArithmeticError("thirteen")
        MADE.append(self.shade)
        return np.full_like(frames, self.shade)
"""
SHADES = (20, 120, 220)


def silent(_):
    pass


@pytest.fixture
def tint(tmp_path, monkeypatch) -> Modality:
    """A modality whose control is one shade of grey: an option."""
    (tmp_path / "toy_tint.py").write_text(TINT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_tint", raising=False)
    return Modality(
        name="tint", summary="A", license="MIT", preprocessor="toy_tint:Tint"
    )


def made():
    """The shades the preprocessor has made so far."""
    return sys.modules["toy_tint"].MADE


@pytest.fixture
def varied(recipe):
    """Return a recipe that draws these options."""
    return lambda **choices: attrs.evolve(recipe, random_options=choices)


def shades_of(hints):
    """The shade of each hint (N, 3, T, H, W)."""
    return ((hints.mean(dim=(1, 2, 3, 4)) + 1) * 127.5).round().int().tolist()


@pytest.fixture
def pairs(base, tint, clips, varied):
    options = RandomOptions.of(tint, varied(shade=SHADES))
    return VariedPairs(
        clips,
        base.autoencoder,
        options,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def draw(pairs, seed, share=slice(None), size=12):
    return pairs.draw(size, torch.Generator().manual_seed(seed), share)


def test_a_recipe_without_random_options_draws_none(tint, recipe):
    assert RandomOptions.of(tint, recipe) is None


def test_each_clip_of_each_step_has_options_of_its_own(pairs):
    one, other = shades_of(draw(pairs, 1).hints), shades_of(draw(pairs, 2).hints)
    assert set(one) == set(other) == set(SHADES)
    assert one != other
    assert shades_of(draw(pairs, 1).hints) == one


def test_options_are_drawn_on_their_own_and_evenly(tint, varied):
    options = RandomOptions.of(tint, varied(shade=SHADES, low=range(2)))
    generator = torch.Generator().manual_seed(0)
    drawn = [options.draw(generator) for _ in range(600)]
    pairs = [(each["shade"], each["low"]) for each in drawn]
    assert {pairs.count((shade, low)) // 50 for shade in SHADES for low in (0, 1)} <= {
        1,
        2,
    }


def test_shares_of_a_batch_make_up_the_whole(pairs):
    whole = draw(pairs, 1)
    halves = [draw(pairs, 1, slice(0, 6)), draw(pairs, 1, slice(6, 12))]
    assert torch.equal(torch.cat([half.hints for half in halves]), whole.hints)
    assert [p for half in halves for p in half.prompts] == whole.prompts
    assert all(torch.equal(half.latents, whole.latents) for half in halves)


def test_control_and_latent_are_of_the_same_clip(base, clips, tmp_path, monkeypatch):
    (tmp_path / "toy_gain.py").write_text(
        "import attrs\n@attrs.frozen(kw_only=True)\nclass Gain:\n"
        "    inverse: bool = False\n    def __call__(self, frames):\n"
        "        return 255 - frames if self.inverse else frames\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    modality = Modality(
        name="gain", summary="A", license="MIT", preprocessor="toy_gain:Gain"
    )
    options = RandomOptions(modality=modality, choices={"inverse": (False, True)})
    where = {"device": torch.device("cpu"), "dtype": torch.float32}
    batch = draw(VariedPairs(clips, base.autoencoder, options, **where), 5)
    kinds = set()
    for latent, hint in zip(batch.latents, batch.hints, strict=True):
        is_inverse = not torch.allclose(hint, latent, atol=1e-5)
        torch.testing.assert_close(hint, -latent if is_inverse else latent)
        kinds.add(is_inverse)
    assert kinds == {True, False}


def test_training_draws_and_monitors_take_the_defaults(
    base, tint, clips, varied, setup
):
    recipe = varied(shade=SHADES)
    task = task_of(setup(), tint, base, recipe, clips, clips[:4])
    assert set(made()) == {0}
    task.loss(torch.Generator().manual_seed(0))
    assert set(made()[4:]) <= set(SHADES)
    assert len(made()) == 4 + recipe.batch_size


def test_a_resumed_training_draws_the_same(base, tint, clips, varied, setup, tmp_path):
    recipe = varied(shade=SHADES)

    def start(folder):
        task = task_of(setup(), tint, base, recipe, clips)
        return Trainer(task, tmp_path / folder, 3)

    whole, first = start("whole"), start("parts")
    whole.run(silent, until=4)
    first.run(silent, until=2)
    second = start("parts")
    second.resume()
    second.run(silent, until=4)
    for name, parameter in whole.named.items():
        assert torch.equal(second.named[name], parameter)


def test_other_options_train_otherwise(base, tint, clips, varied, setup, tmp_path):
    results = []
    for shades in ((20,), (220,)):
        task = task_of(setup(), tint, base, varied(shade=shades), clips)
        trainer = Trainer(task, tmp_path / str(shades[0]), 3)
        trainer.run(silent, until=2)
        results.append(trainer.named["branch.patch_embed.weight"])
    assert not torch.equal(*results)


def test_a_control_that_a_clip_brings_stays_and_the_user_is_told(
    base, tint, clips, varied, setup
):
    own = [
        attrs.evolve(clip, controls={"tint": np.full_like(clip.video, 77)})
        for clip in clips
    ]
    said = []
    recipe = varied(shade=SHADES)
    task = task_of(setup(say=said.append), tint, base, recipe, own)
    task.loss(torch.Generator().manual_seed(0))
    assert made() == []
    assert said == [
        "the clips bring their own controls of 'tint', so the random_options of its "
        "recipe change nothing"
    ]


def test_options_are_tried_once_however_the_training_is_built(
    tint, varied, setup, tmp_path, monkeypatch
):
    (tmp_path / "toy_recipe.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    toy_recipe = importlib.import_module("toy_recipe")
    toy_recipe.RECIPE = varied(shade=SHADES)
    modality = attrs.evolve(tint, recipe="toy_recipe:RECIPE")
    catalog = discover()
    here = setup(
        base=catalog.find_base("tiny-world"),
        catalog=catalog,
        clips=1,
        is_monitored=False,
    )
    branch_task(here, modality)
    assert list(SHADES) == sys.modules["toy_tint"].BUILT


def test_all_that_cannot_be_drawn_is_told_before_training(tint, varied):
    with pytest.raises(Problems) as caught:
        RandomOptions.of(tint, varied(shade=(20, 300, -1), low=(0,)))
    assert caught.value.problems == (
        "random_options in the recipe of 'tint': option of 'tint': "
        "shade is 300; give 0 to 255",
        "random_options in the recipe of 'tint': option of 'tint': "
        "shade is -1; give 0 to 255",
    )
    with pytest.raises(Problems, match=r"'tint' has no option 'shad'.*'shade'"):
        RandomOptions.of(tint, varied(shad=(1,)))


def test_a_combination_the_preprocessor_refuses_is_told(tint, varied):
    with pytest.raises(Problems, match=r": low is 9 and high is 5$"):
        RandomOptions.of(tint, varied(low=(1, 9), high=(5, 10)))


def test_of_very_many_refusals_ten_are_told(tint, varied):
    with pytest.raises(Problems) as caught:
        RandomOptions.of(tint, varied(shade=range(300, 315)))
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1].endswith("'tint': 5 more are refused")


def test_of_too_many_combinations_each_value_is_tried(tint, varied):
    low, shade = range(101), range(101)
    assert RandomOptions.of(tint, varied(low=low, shade=shade)) is not None
    with pytest.raises(Problems, match="shade is 256"):
        RandomOptions.of(tint, varied(low=low, shade=(*shade, 256)))


def test_without_a_preprocessor_there_is_nothing_to_draw(modality, varied):
    with pytest.raises(Problems, match="'place' has no preprocessor, so no option"):
        RandomOptions.of(modality("place", None), varied(shade=(1,)))


def test_a_preprocessor_that_fails_on_the_way_names_what_was_drawn(tint, varied, clips):
    options = RandomOptions.of(tint, varied(shade=(13,), low=(0,)))
    with pytest.raises(
        PluginError,
        match=r"^with shade 13, low 0, drawn by its recipe: the preprocessor of "
        r"'tint' failed: .*thirteen",
    ):
        options.control(options.draw(torch.Generator().manual_seed(0)), clips[0].video)
