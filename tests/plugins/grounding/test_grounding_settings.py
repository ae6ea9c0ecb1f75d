"""The environment says where models lie; what is wrong in it is told at once."""

import pytest

from worldweave import Problems, WorldweaveError
from worldweave_plugins.grounding import reading
from worldweave_plugins.grounding.settings import Settings


def test_without_variables_the_thresholds_are_those_of_the_released_system():
    settings = Settings.from_environment({})
    assert (settings.threshold, settings.fallback) == (0.15, 0.10)
    assert settings.folder is None


def test_an_empty_variable_is_as_none_at_all():
    assert Settings.from_environment({"WORLDWEAVE_GROUNDING": " "}) == Settings()


def test_every_setting_has_a_variable(tmp_path):
    settings = Settings.from_environment(
        {
            "WORLDWEAVE_GROUNDING": str(tmp_path),
            "WORLDWEAVE_GROUNDING_DEVICE": "cuda:1",
            "WORLDWEAVE_GROUNDING_THRESHOLD": "0.4",
            "WORLDWEAVE_GROUNDING_FALLBACK": "0.3",
            "WORLDWEAVE_GROUNDING_LOOKS": "3",
            "WORLDWEAVE_GROUNDING_INSTANCES": "5",
        }
    )
    assert settings == Settings(
        folder=tmp_path,
        device="cuda:1",
        threshold=0.4,
        fallback=0.3,
        looks=3,
        instances=5,
    )


def test_all_bad_values_are_told_at_once(tmp_path):
    given = {
        "WORLDWEAVE_GROUNDING": str(tmp_path / "nowhere"),
        "WORLDWEAVE_GROUNDING_THRESHOLD": "1.5",
        "WORLDWEAVE_GROUNDING_FALLBACK": "nan",
        "WORLDWEAVE_GROUNDING_LOOKS": "0",
        "WORLDWEAVE_GROUNDING_INSTANCES": "many",
    }
    with pytest.raises(Problems) as told:
        Settings.from_environment(given)
    for (name, value), problem in zip(given.items(), told.value.problems, strict=True):
        assert problem.startswith(f"{name} is {value!r}, expected ")


def test_a_fallback_above_the_threshold_is_refused():
    with pytest.raises(WorldweaveError, match=r"FALLBACK is 0\.3, above .* 0\.15"):
        Settings.from_environment({"WORLDWEAVE_GROUNDING_FALLBACK": "0.3"})


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu cpu"])
def test_a_device_that_is_not_here_is_a_line_for_the_user(name):
    with pytest.raises(WorldweaveError, match=rf"DEVICE is '{name}'.*such as cpu"):
        reading.device(name)


def test_the_device_is_chosen_where_none_is_named():
    assert reading.device("auto").type in ("cpu", "cuda")
