"""Options are told as a user would tell them: types, defaults, meanings."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Optional, Union

import attrs
import pytest

from worldweave.cli.options_in_words import first_words, in_words, options_of

if TYPE_CHECKING:
    from decimal import Decimal


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "whole number"),
        (float, "number"),
        (str, "text"),
        (bool, "true or false"),
        (Path, "path of a file"),
        (Any, "anything"),
        (None, "none"),
        (int | None, "whole number or none"),
        (Optional[int], "whole number or none"),  # noqa: UP045 -- as some write
        (Union[str, float], "text or number"),  # noqa: UP007 -- as some write
        (Literal["low", "high"], "one of low, high"),
        (Literal["low", "high"] | None, "one of low, high or none"),
        (Literal["only"], "only"),
        (Colour, "one of red, blue"),
        (list[int], "list of whole number"),
        (Sequence[str], "list of text"),
        (tuple[float, ...], "list of number"),
        (tuple[int, float], "list of 2: whole number, number"),
        (dict[str, int], "mapping"),
        (Mapping[str, int], "mapping"),
        (Annotated[int, "metres"], "whole number"),
        (list, "list"),
        ("Decimal", "Decimal"),
    ],
)
def test_a_type_is_told_in_words(hint: Any, words: str) -> None:
    assert in_words(hint) == words


@attrs.frozen(kw_only=True)
class Fog:
    """Hide what is far, uint8 (T, H, W, 3) to the same,
    without any noise.

    near: metres where it begins. far, thick: where nothing is left, and how
    fast it comes; the more the
    sooner. Beyond that nothing is seen.

    tint: the colour.
    Notes: none of this is physics.
    """

    per_frame: ClassVar[bool] = True
    near: float = 3.0
    far: int | None = None
    thick: Literal["a", "b"]
    tint: tuple[int, int, int] = attrs.field(factory=lambda: (1, 2, 3))
    other: str = attrs.field(default="x", metadata={"help": "said by the field"})
    silent: bool = False
    _private: int = 0
    made: int = attrs.field(init=False, default=3)


def test_every_option_is_listed_with_all_that_is_known_of_it() -> None:
    told = {option["name"]: tuple(option.values())[1:] for option in options_of(Fog)}
    both = (
        "where nothing is left, and how fast it comes; the more the sooner. Beyond "
        "that nothing is seen"
    )
    assert told == {
        "near": ("number", 3.0, False, "metres where it begins"),
        "far": ("whole number or none", None, False, both),
        "thick": ("one of a, b", None, True, both),
        "tint": (
            "list of 3: whole number, whole number, whole number",
            (1, 2, 3),
            False,
            "the colour. Notes: none of this is physics",
        ),
        "other": ("text", "x", False, "said by the field"),
        "silent": ("true or false", False, False, ""),
        "private": ("whole number", 0, False, ""),
    }


def test_the_first_paragraph_tells_what_a_class_does() -> None:
    assert first_words(Fog) == (
        "Hide what is far, uint8 (T, H, W, 3) to the same, without any noise."
    )
    assert first_words(type("Plain", (), {})) == ""


def test_annotations_for_type_checkers_alone_are_told_as_they_are_written() -> None:
    @attrs.frozen
    class Price:
        amount: Decimal
        count: int = 1

    amount, count = options_of(Price)
    assert (amount["type"], count["type"]) == ("Decimal", "int")


@pytest.mark.parametrize("kind", [int, len, object(), type("Plain", (), {})])
def test_what_is_no_attrs_class_has_no_options(kind: Any) -> None:
    assert options_of(kind) == []


def test_a_default_that_needs_the_object_is_not_made() -> None:
    @attrs.frozen
    class Late:
        one: int = 1
        two: int = attrs.field(default=attrs.Factory(lambda self: 1 / 0, True))

    assert options_of(Late)[1]["default"] == "made anew"


def test_a_name_in_the_middle_of_a_sentence_is_no_heading() -> None:
    @attrs.frozen
    class Mist:
        """Mist.

        depth: how it looks: the depth: of it all.
        """

        depth: int = 1

    assert options_of(Mist)[0]["about"] == "how it looks: the depth: of it all"
