"""Every error a user can cause is one family, so that one place shows them."""

import pickle

import pytest

import worldweave_registry
from worldweave_registry import Problems, WorldweaveError


@pytest.mark.parametrize(
    "name",
    [name for name in worldweave_registry.__all__ if name.endswith("Error")],
)
def test_every_error_belongs_to_the_family(name: str) -> None:
    assert issubclass(getattr(worldweave_registry, name), WorldweaveError)


@pytest.mark.parametrize("kind", ["Modality", "Base"])
@pytest.mark.parametrize("what", ["Unknown", "Ambiguous", "Unavailable"])
def test_a_failed_look_up_is_a_lookup_error(what: str, kind: str) -> None:
    error = getattr(worldweave_registry, f"{what}{kind}Error")
    assert issubclass(error, LookupError)
    assert issubclass(error, worldweave_registry.PluginError)


def test_problems_show_one_a_line_and_stay_apart() -> None:
    problems = Problems(iter(["no video", "no prompt"]))
    assert problems.problems == ("no video", "no prompt")
    assert str(problems) == "no video\nno prompt"


def test_problems_survive_the_way_to_another_process() -> None:
    problems = pickle.loads(pickle.dumps(Problems(["no video"])))
    assert problems.problems == ("no video",)
