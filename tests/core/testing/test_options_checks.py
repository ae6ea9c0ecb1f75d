"""Which options are sound, and what is said of those that are not."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import attrs
import pytest
from attrs.validators import and_, ge, in_, instance_of, le, optional

from worldweave.testing.checks import options as checks
from worldweave.testing.checks.listing import parts_can_be_imported
from worldweave.testing.kit import Examination, Outcome
from worldweave_registry import Recipe, WorldweaveError

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKS = (parts_can_be_imported, *checks.CHECKS)
_REAL = and_(instance_of((int, float)), ge(0), le(1))


def _number(made: Any, attribute: Any, value: Any) -> None:
    if isinstance(value, bool):
        raise TypeError(f"{attribute.name} is {value!r}; give a number")
    _REAL(made, attribute, value)


class Way(enum.Enum):
    UP = "up"
    DOWN = "down"


class Call:
    def __call__(self, frames: Any) -> Any:
        return frames


@attrs.frozen(kw_only=True)
class Same(Call):
    pass


def _finite_or_far(made: Any, attribute: Any, value: Any) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or math.isnan(value) or value < 0:
        raise WorldweaveError(f"far is {value!r}; give metres, 0 or more")


def _whole_or_word(made: Any, attribute: Any, value: Any) -> None:
    if type(value) not in (int, str):
        raise TypeError(f"{attribute.name} is {value!r}; give a whole number or a word")


def _way(value: Any) -> Way:
    try:
        return Way(value)
    except ValueError as error:
        raise ValueError(f"way is {value!r}; choose up or down") from error


@attrs.frozen(kw_only=True)
class Sound(Same):
    """One option of every kind, each as strict as it can be."""

    per_frame: ClassVar[bool] = True
    choice: Literal["a", "b"] = attrs.field(default="a", validator=in_(("a", "b")))
    maybe: Literal["a"] | None = attrs.field(
        default=None, validator=optional(in_(("a",)))
    )
    way: Way = attrs.field(default=Way.UP, converter=_way)
    share: float = attrs.field(default=0.5, validator=_number)
    limit: int | None = attrs.field(default=None, validator=optional(_number))
    noted: Annotated[float, "metres"] = attrs.field(default=1, validator=_number)
    far: float = attrs.field(default=math.inf, validator=_finite_or_far)
    flag: bool = attrs.field(default=False, validator=instance_of(bool))
    prompt: str = attrs.field(default="a person", validator=instance_of(str))
    either: int | str = attrs.field(default=1, validator=_whole_or_word)
    sizes: Sequence[int] = attrs.field(default=(1,), validator=instance_of(tuple))


@attrs.frozen(kw_only=True)
class Trusting(Same):
    choice: Literal["a", "b"] = "a"
    way: Way = Way.UP
    limit: int | None = None
    flag: bool = False
    prompt: str = "a person"
    unsaid: Any = 0.5
    far: float = math.inf


@attrs.frozen(kw_only=True)
class Rounds(Same):
    """Takes whatever can be made a number, and says nothing of its own."""

    level: int = attrs.field(default=3, converter=int)


def _found(value: Any) -> int:
    return {"low": 1, "high": 2}[value]


@attrs.frozen(kw_only=True)
class Stumbles(Same):
    level: Literal["low", "high"] = attrs.field(default="low", converter=_found)


PRESETS = {"low": 1, "high": 2}


def _is_preset(made: Any, attribute: Any, value: Any) -> None:
    if value not in PRESETS:
        raise WorldweaveError(f"level is {value!r}; choose low or high")


@attrs.frozen(kw_only=True)
class Hashes(Same):
    """Looks in a dict for what may be a list."""

    level: Literal["low", "high"] = attrs.field(default="low", validator=_is_preset)


@attrs.frozen(kw_only=True)
class Late(Same):
    """Looks at its option only when it is called."""

    share: float = 0.5

    def __call__(self, frames: Any) -> Any:
        if not 0 <= self.share <= 1:
            raise WorldweaveError(f"share is {self.share}; give 0 to 1")
        return frames


@attrs.define(kw_only=True)
class Mutable(Call):
    share: float = 0.5


@attrs.define(kw_only=True)
class MutableButStrict(Call):
    share: float = attrs.field(default=0.5, validator=_number)


@attrs.define(kw_only=True)
class MutableWithoutOptions(Call):
    pass


@attrs.frozen
class Positional(Same):
    share: float = 0.5
    level: int = attrs.field(default=3, kw_only=True)


@attrs.frozen(kw_only=True)
class Private(Same):
    _share: float = 0.5


@attrs.frozen(kw_only=True)
class Promised(Same):
    per_frame: bool = True


@attrs.frozen(kw_only=True, init=False)
class Hidden(Same):
    share: float = 0.5

    def __init__(self, share: float = 0.5, debug: bool = False, **rest: Any) -> None:
        self.__attrs_init__(share=share)


@attrs.frozen(kw_only=True)
class Pair(Same):
    low: int = attrs.field(default=1, validator=instance_of(int))
    high: int = attrs.field(default=9, validator=instance_of(int))

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise WorldweaveError(f"low is {self.low}, above high, {self.high}")


def _recipe(**options: Any) -> Recipe:
    return Recipe(steps=1, learning_rate=1, random_options=options)


APART = _recipe(low=[1, 2], high=[3, 4])
CROSSED = _recipe(low=[1, 5], high=[4, 9])
UNKNOWN = _recipe(lo=[1], high=[4])
NOTHING = _recipe()


def verdict_on(check, subject_of, kind, **fields):
    subject = subject_of(preprocessor=f"{__name__}:{kind.__name__}", **fields)
    return Examination(subject, CHECKS).verdict(check.name)


@pytest.mark.parametrize("check", checks.CHECKS[:2])
def test_strict_options_of_every_kind_pass(subject_of, check):
    found = verdict_on(check, subject_of, Sound)
    assert found.outcome is Outcome.PASSED, found.says


def test_every_option_that_trusts_its_caller_is_named_with_what_it_takes(subject_of):
    found = verdict_on(checks.options_refuse_nonsense, subject_of, Trusting)
    foreign = "an object of a foreign class"
    assert found.says.split("; ") == [
        f"option 'choice' accepts {foreign}, 'nonsense'",
        f"option 'way' accepts {foreign}, 'nonsense'",
        f"option 'limit' accepts {foreign}, nan, inf, -inf, True, False, 'nonsense'",
        f"option 'flag' accepts {foreign}, 'nonsense'",
        f"option 'prompt' accepts {foreign}",
        f"option 'unsaid' accepts {foreign}, nan, inf, -inf, True, False, 'nonsense'",
        f"option 'far' accepts {foreign}, nan, -inf, True, False, 'nonsense'",
    ]


def test_an_error_that_does_not_name_the_option_helps_nobody(subject_of):
    found = verdict_on(checks.options_refuse_nonsense, subject_of, Rounds)
    assert found.outcome is Outcome.FAILED
    assert "level='nonsense' raises \"ValueError: invalid literal" in found.says
    assert "which does not name it" in found.says


def test_an_error_that_nobody_expects_is_no_refusal(subject_of):
    found = verdict_on(checks.options_refuse_nonsense, subject_of, Stumbles)
    assert "level='nonsense' raises \"KeyError: 'nonsense'\", expected" in found.says


def test_a_list_is_refused_by_name_too(subject_of):
    found = verdict_on(checks.options_refuse_nonsense, subject_of, Hashes)
    assert "unhashable type: '_Foreign'\", which does not name it" in found.says
    assert "nonsense" not in found.says


def test_a_refusal_when_it_is_called_is_too_late(subject_of):
    found = verdict_on(checks.options_refuse_nonsense, subject_of, Late)
    assert "option 'share' accepts" in found.says


def test_a_preprocessor_without_options_has_nothing_to_refuse(subject_of):
    found = verdict_on(checks.options_refuse_nonsense, subject_of, Same)
    assert (found.outcome, found.says) == (Outcome.LEFT_OUT, "it has no options")


@pytest.mark.parametrize(
    ("kind", "says", "mend"),
    [
        (Mutable, "its options can be changed after it is built", "decorate"),
        (Call, "test_options_checks.Call'> is no attrs class", "decorate"),
        (MutableButStrict, "its options can be changed after it is built", "decorate"),
        (MutableWithoutOptions, "its options can be changed after", "decorate"),
        (Positional, "option 'share' can be given by position", "decorate"),
        (Private, "'_share' is called 'share' where it is built", "name the field"),
        (Promised, "'per_frame' is an option", "per_frame: ClassVar[bool] = True"),
        (
            Hidden,
            "built with 'debug', which is no field; it is built with 'rest'",
            "make every argument of __init__ a field",
        ),
    ],
)
def test_an_option_that_is_not_declared_is_told(subject_of, kind, says, mend):
    found = verdict_on(checks.options_are_declared, subject_of, kind)
    assert found.outcome is Outcome.FAILED
    assert says in found.says
    assert mend in found.mend
    assert "'level'" not in found.says


def test_options_that_can_be_drawn_in_any_combination_pass(subject_of):
    check = checks.random_options_are_accepted
    found = verdict_on(check, subject_of, Pair, recipe=f"{__name__}:APART")
    assert found.outcome is Outcome.PASSED, found.says


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("CROSSED", "low is 5, above high, 4"),
        ("UNKNOWN", "has no option 'lo'; did you mean 'low'?"),
    ],
)
def test_a_draw_that_is_refused_is_told(subject_of, recipe, says):
    check = checks.random_options_are_accepted
    found = verdict_on(check, subject_of, Pair, recipe=f"{__name__}:{recipe}")
    assert found.outcome is Outcome.FAILED
    assert says in found.says


def test_random_options_wait_for_options_that_are_declared(subject_of):
    check = checks.random_options_are_accepted
    found = verdict_on(check, subject_of, Call, recipe=f"{__name__}:APART")
    assert found.outcome is Outcome.LEFT_OUT
    assert found.says == "nothing to look at before options_are_declared passes"


def test_random_options_without_a_preprocessor_are_told(subject_of):
    subject = subject_of(recipe=f"{__name__}:APART")
    found = Examination(subject, CHECKS).verdict("random_options_are_accepted")
    assert found.outcome is Outcome.FAILED
    assert "has no preprocessor" in found.says


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "it has no recipe, so it cannot be trained"),
        ({"recipe": f"{__name__}:NOTHING"}, "its recipe draws no random options"),
    ],
)
def test_a_recipe_that_draws_nothing_is_left_out(subject_of, fields, says):
    found = verdict_on(checks.random_options_are_accepted, subject_of, Pair, **fields)
    assert (found.outcome, found.says) == (Outcome.LEFT_OUT, says)
