"""A modality says what it is and cannot say what it is not."""

import copy
import pickle
from typing import Any

import attrs
import pytest

from worldweave_registry import DescriptionError, Lazy, Modality, Recipe, Weights


def modality(**changes: Any) -> Modality:
    fields: dict[str, Any] = {
        "name": "lidar",
        "summary": "Range images",
        "license": "MIT",
        "preprocessor": "acme.lidar:Range",
    }
    return Modality(**(fields | changes))


def weights(**changes: Any) -> Weights:
    fields: dict[str, Any] = {
        "base": "tiny-world",
        "uri": "hf://acme/lidar.safetensors",
        "license": "Apache-2.0",
    }
    return Weights(**(fields | changes))


def recipe(**changes: Any) -> Recipe:
    return Recipe(**({"steps": 100, "learning_rate": 1e-4} | changes))


def test_an_import_path_may_be_plain_text() -> None:
    described = modality(recipe="acme.recipe:RECIPE", metric="acme.metric:F1")
    assert described.preprocessor == Lazy("acme.lidar:Range")
    assert described.recipe == Lazy("acme.recipe:RECIPE")
    assert described.metric == Lazy("acme.metric:F1")
    assert recipe(dataset="acme.data:Drives").dataset == Lazy("acme.data:Drives")


def test_little_needs_to_be_said() -> None:
    described = modality(preprocessor=None)
    assert described.preprocessor is None
    assert described.branch == Lazy("worldweave.model.branch:CosmosBranch")
    assert described.recipe is None
    assert described.metric is None
    assert described.weights == ()
    assert described.default_map == 0.5
    assert described.metadata == {}


def test_whether_there_is_a_preprocessor_must_be_said() -> None:
    with pytest.raises(TypeError, match="preprocessor"):
        Modality(name="a", summary="b", license="MIT")  # type: ignore[call-arg]


def test_fields_are_given_by_name_so_that_a_new_one_breaks_nobody() -> None:
    with pytest.raises(TypeError, match="positional"):
        Modality("lidar", "x", "MIT", None)  # type: ignore[call-arg]


def test_a_description_cannot_change() -> None:
    described = modality(metadata={"paper": "x"})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        described.name = "radar"  # type: ignore[misc]
    with pytest.raises(TypeError):
        described.metadata["paper"] = "y"  # type: ignore[index]


def test_a_description_does_not_follow_the_lists_it_was_made_from() -> None:
    metadata, checkpoints = {"paper": "x"}, [weights()]
    described = modality(metadata=metadata, weights=checkpoints)
    metadata["paper"] = "y"
    checkpoints.clear()
    assert described.metadata == {"paper": "x"}
    assert described.weights == (weights(),)


def test_equal_descriptions_compare_hash_and_copy_as_one() -> None:
    described = modality(metadata={"paper": "x"}, weights=[weights()])
    again = modality(metadata={"paper": "x"}, weights=(weights(),))
    assert described == again
    assert hash(described) == hash(again)
    assert pickle.loads(pickle.dumps(described)) == described
    assert copy.deepcopy(described) == described
    assert described != attrs.evolve(described, metadata={})


def test_a_description_prints_as_it_is_written() -> None:
    text = repr(modality(metadata={"paper": "x"}))
    assert text.startswith("Modality(name='lidar', summary='Range images'")
    assert "preprocessor=Lazy(path='acme.lidar:Range')" in text
    assert text.endswith("metadata={'paper': 'x'})")


@pytest.mark.parametrize("name", ["a", "hdmap", "hd_map", "lidar2"])
def test_a_sound_name_is_accepted(name: str) -> None:
    assert modality(name=name).name == name


@pytest.mark.parametrize("name", ["", "Lidar", "2d", "_a", "hd-map", "a b", "é", 3])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(DescriptionError, match=r"Modality has name .*; expected lower"):
        modality(name=name)


def test_the_message_names_modality_field_value_and_what_was_expected() -> None:
    with pytest.raises(DescriptionError) as caught:
        modality(default_map=1.5)
    assert str(caught.value) == (
        "Modality 'lidar' has default_map 1.5; expected a number from 0 to 1"
    )


def test_a_wrong_description_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match="default_map"):
        modality(default_map=-0.1)


@pytest.mark.parametrize("value", [0, 1, 0.25])
def test_the_ends_of_the_range_of_a_map_are_in_it(value: float) -> None:
    assert modality(default_map=value).default_map == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("summary", ""),
        ("summary", "two\nlines"),
        ("summary", None),
        ("license", "  "),
        ("default_map", float("nan")),
        ("default_map", True),
        ("default_map", "0.5"),
        ("weights", "hf://a"),
        ("weights", ["hf://a"]),
        ("weights", 3),
        ("metadata", {"year": 2025}),
        ("metadata", ["paper"]),
    ],
)
def test_a_modality_refuses_what_cannot_be(field: str, value: Any) -> None:
    with pytest.raises(DescriptionError, match=f"Modality 'lidar' has {field} "):
        modality(**{field: value})


def test_one_checkpoint_without_its_list_is_refused() -> None:
    with pytest.raises(DescriptionError, match="expected a list of Weights"):
        modality(weights=weights())


@pytest.mark.parametrize("field", ["preprocessor", "branch", "recipe", "metric"])
@pytest.mark.parametrize("value", ["acme.lidar", "acme lidar:R", ":R", "a:", "a:1b", 5])
def test_what_is_no_import_path_is_refused(field: str, value: Any) -> None:
    with pytest.raises(DescriptionError, match=r"like 'package\.module:Name'"):
        modality(**{field: value})


def test_a_class_in_place_of_its_import_path_is_refused() -> None:
    with pytest.raises(DescriptionError, match="import path <class 'dict'>"):
        modality(preprocessor=dict)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base", "Tiny World"),
        ("base", ""),
        ("uri", ""),
        ("uri", None),
        ("license", ""),
        ("sha256", "abc"),
        ("sha256", "g" * 64),
        ("part", "vae"),
        ("bytes", 0),
        ("bytes", 1.5),
    ],
)
def test_weights_refuse_what_cannot_be(field: str, value: Any) -> None:
    with pytest.raises(DescriptionError, match=f"Weights has {field} "):
        weights(**{field: value})


def test_a_checksum_may_be_written_in_capitals() -> None:
    assert weights(sha256="AB" * 32) == weights(sha256="ab" * 32)


@pytest.mark.parametrize(
    "part", ["branch", "dit", "autoencoder", "text_encoder", "annotator", "maps"]
)
def test_weights_are_of_a_known_part(part: str) -> None:
    assert weights(part=part).part == part


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("steps", True),
        ("steps", 10.0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("batch_size", 0),
        ("warmup", -1),
        ("sigma_mean", float("nan")),
        ("sigma_std", 0.0),
    ],
)
def test_a_recipe_refuses_what_cannot_be(field: str, value: Any) -> None:
    with pytest.raises(DescriptionError, match=f"Recipe has {field} "):
        recipe(**{field: value})


def test_a_recipe_may_start_at_full_speed() -> None:
    assert recipe(warmup=0).warmup == 0


@pytest.mark.parametrize(("name", "why"), [("base", "itself"), ("maps", "learned")])
def test_a_name_that_training_takes_for_something_else_is_refused(
    name: str, why: str
) -> None:
    told = f"Modality has name '{name}'; expected another: 'worldweave train {name}' "
    with pytest.raises(DescriptionError, match=f"^{told}.*{why}"):
        modality(name=name)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({1, 2}, id="a set"),
        pytest.param(frozenset("ab"), id="a frozen set"),
        pytest.param({1: 2}, id="a dict"),
        pytest.param({1: 2}.keys(), id="keys"),
        pytest.param((n for n in (1, 2)), id="a generator"),
        pytest.param("low", id="text"),
        pytest.param(b"low", id="bytes"),
        pytest.param(0.5, id="a number"),
        pytest.param([], id="nothing"),
    ],
)
def test_what_is_drawn_has_an_order(values: Any) -> None:
    with pytest.raises(DescriptionError, match="order must be the same every time"):
        recipe(random_options={"low": values})


@pytest.mark.parametrize("values", [[1, 2], (1, 2), range(1, 3)])
def test_a_list_a_tuple_or_a_range_is_drawn_from(values: Any) -> None:
    assert recipe(random_options={"low": values}).random_options == {"low": (1, 2)}
