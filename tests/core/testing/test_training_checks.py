"""The check of a training tells what is wrong with a recipe, and harms no base."""

import attrs
import numpy as np
import pytest
import torch

from worldweave import Clip, CosmosBranch, Modality, Recipe, discover
from worldweave.testing.bases import loaded_base
from worldweave.testing.checks.training import two_training_steps_run
from worldweave.testing.kit import Examination, Outcome
from worldweave.testing.subject import Subject
from worldweave_registry import Plugin, State

CHECK = attrs.evolve(two_training_steps_run, needs=())
SOUND = Recipe(steps=500, learning_rate=1.5e-3, batch_size=12)


@pytest.fixture(scope="module")
def subject(site):
    """Return what makes a subject of a modality that trains for the toy base."""
    catalog = discover({"WORLDWEAVE_PLUGINS": "worldweave,toy_base"})
    plugin = Plugin(name="own", distribution="me", version="1", state=State.READY)

    def make(recipe="SOUND", **changes):
        modality = Modality(
            name="own",
            summary="for tests",
            license="MIT",
            recipe=f"{__name__}:{recipe}",
            **{"preprocessor": None, **changes},
        )
        return Subject(
            modality=modality, plugin=plugin, catalog=catalog, base_name="toy"
        )

    return make


@pytest.fixture(scope="module")
def verdict(subject):
    def judge(*args, **changes):
        return Examination(subject(*args, **changes), [CHECK]).verdict(CHECK.name)

    return judge


class Shrinks:
    def __call__(self, frames):
        return frames[:, ::2]


@pytest.mark.parametrize(
    "preprocessor", [None, "worldweave_plugins.edge.preprocess:Canny", "Shrinks"]
)
def test_a_sound_recipe_trains_whatever_makes_its_controls(preprocessor, verdict):
    if preprocessor == "Shrinks":  # its own checks say so
        preprocessor = f"{__name__}:Shrinks"
    found = verdict(preprocessor=preprocessor)
    assert found.outcome is Outcome.PASSED, found.says


RANDOM = attrs.evolve(SOUND, random_options={"threshold": ("low", "high")})
UNKNOWN = attrs.evolve(SOUND, random_options={"treshold": ("low", "high")})


@pytest.mark.parametrize("recipe", ["RANDOM", "UNKNOWN"])
def test_random_options_are_drawn_and_wrong_ones_left_to_another_check(recipe, verdict):
    found = verdict(recipe, preprocessor="worldweave_plugins.edge.preprocess:Canny")
    assert found.outcome is Outcome.PASSED, found.says


def good(seed, count):
    dice = np.random.default_rng(seed)
    for _ in range(count):
        video = dice.integers(0, 255, (9, 16, 16, 3), dtype=np.uint8)
        yield Clip(video=video, prompt="", controls={"own": 255 - video})


def endless(seed, count):
    while True:
        yield from good(seed, count)


def raising(seed, count):
    raise FileNotFoundError("there is no folder /driving")


def late(seed, count):
    yield from good(seed, 1)
    raise SystemExit(3)


def nothing(seed, count):
    return []


def pairs(seed, count):
    return [(clip.video, clip.prompt) for clip in good(seed, count)]


def floats(seed, count):
    return [attrs.evolve(clip, video=clip.video / 255) for clip in good(seed, count)]


def low(seed, count):
    return [attrs.evolve(clip, video=clip.video[:, ::2]) for clip in good(seed, count)]


def single(seed, count):
    return good(seed, 1)


def one_argument(seed):
    return list(good(seed, 2))


def recipe_of(name):
    return attrs.evolve(SOUND, dataset=f"{__name__}:{name}")


GOOD, ENDLESS = recipe_of("good"), recipe_of("endless")
RAISING, LATE, NOTHING = recipe_of("raising"), recipe_of("late"), recipe_of("nothing")
PAIRS, FLOATS, LOW = recipe_of("pairs"), recipe_of("floats"), recipe_of("low")
ONE_ARGUMENT, SINGLE = recipe_of("one_argument"), recipe_of("single")


@pytest.mark.parametrize("recipe", ["GOOD", "ENDLESS", "SINGLE"])
def test_a_dataset_of_its_own_is_trained_on(recipe, verdict):
    found = verdict(recipe)
    assert found.outcome is Outcome.PASSED, found.says


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("RAISING", "FileNotFoundError: there is no folder /driving"),
        ("LATE", "SystemExit"),
        ("NOTHING", "makes no clip where 2 were asked for"),
        ("PAIRS", "it is a tuple, expected a worldweave.Clip"),
        ("FLOATS", "is float64 (9, 16, 16, 3)"),
        ("LOW", "is uint8 (9, 8, 16, 3)"),
        ("ONE_ARGUMENT", "TypeError"),
    ],
)
def test_a_dataset_that_fails_is_told(recipe, said, verdict):
    found = verdict(recipe)
    assert found.outcome is Outcome.FAILED
    assert said in found.says
    assert "dataset of its recipe" in found.says
    assert found.mend


STEEP = attrs.evolve(SOUND, learning_rate=1e30, warmup=0)
FLAT = attrs.evolve(SOUND, learning_rate=1e-10)
ELSEWHERE = attrs.evolve(SOUND, base="moon-base")


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("STEEP", "learning rate below 1e+30"),
        ("FLAT", "learning rate, 1e-10, have moved no weight by more than"),
        ("ELSEWHERE", "made for a base that is not there: no plugin supplies"),
    ],
)
def test_a_recipe_that_cannot_be_is_told(recipe, said, verdict):
    found = verdict(recipe)
    assert found.outcome is Outcome.FAILED
    assert said in found.says


class Harms(CosmosBranch):
    """Changes the base it has started from whenever it runs."""

    def start_from(self, base):
        self.bases = [base]

    def forward(self, latent, step, hint):
        for base in getattr(self, "bases", ()):
            with torch.no_grad():
                base.blocks[0].mlp.down.weight.add_(1e-4)
        return super().forward(latent, step, hint)


def test_a_branch_that_changes_the_base_is_told_and_harms_a_copy(subject, verdict):
    kept = loaded_base(subject())
    before = kept.dit.blocks[0].mlp.down.weight.clone()
    found = verdict(branch=f"{__name__}:Harms")
    assert found.outcome is Outcome.FAILED
    assert "changed tensors of the base: blocks.0.mlp.down.weight" in found.says
    assert loaded_base(subject()) is kept
    assert torch.equal(kept.dit.blocks[0].mlp.down.weight, before)


class Late(CosmosBranch):
    def forward(self, latent, step, hint):
        if "late" not in self._parameters and hint.device.type != "meta":
            self.late = torch.nn.Parameter(hint.new_ones(1))
        return super().forward(latent, step, hint)


def test_a_result_that_cannot_be_loaded_is_told(verdict):
    found = verdict(branch=f"{__name__}:Late")
    assert found.outcome is Outcome.FAILED
    assert "the result of its training cannot be loaded" in found.says
    assert "late" in found.says.partition("cannot be loaded")[2]


def test_training_leaves_torchs_dice_as_they_were(verdict):
    before = torch.get_rng_state()
    verdict()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_base_that_is_not_there_leaves_it_out(subject):
    found = Examination(attrs.evolve(subject(), base_name="nowhere"), [CHECK])
    (one,) = found.verdicts()
    assert one.outcome is Outcome.LEFT_OUT
    assert "nowhere" in one.says
