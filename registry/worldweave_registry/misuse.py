"""Say in one line where a plugin's code uses worldweave as it cannot be used."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence

import attrs

from worldweave_registry.wording import did_you_mean

#: The end of a line about what this worldweave does not have.
UPGRADE = (
    "; if the plugin was written for a newer worldweave, try: "
    "pip install --upgrade worldweave"
)
#: What the name of every hook begins with.
PREFIX = "worldweave_"

# Python raises these errors before anything of ours could, so that only their text
# tells what was wrong.
_UNKNOWN_FIELD = re.compile(
    r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'"
)
_MISSING_FIELDS = re.compile(
    r"(\w+)\.__init__\(\) missing \d+ required keyword-only arguments?: (.+)"
)
_BY_POSITION = re.compile(r"(\w+)\.__init__\(\) takes 1 positional argument but \d+ ")
_UNKNOWN_NAME = re.compile(
    r"cannot import name '(?P<import>\w+)' from '(?P<of>worldweave(_registry)?[.\w]*)'"
    r"|module '(?P<module>worldweave(_registry)?[.\w]*)' has no attribute "
    r"'(?P<name>\w+)'"
)
_RAISED_BY_PYTHON = (TypeError, ImportError, ModuleNotFoundError, AttributeError)


def told(error: BaseException, kinds: Iterable[type]) -> str:
    """Return in one line what of worldweave *error* says was used wrongly.

    kinds: the descriptions whose fields are known. Nothing where it says anything
    else.
    """
    text = str(error) if type(error) in _RAISED_BY_PYTHON else ""
    if type(error) is TypeError:
        return _wrong_fields(text, {kind.__name__: kind for kind in kinds})
    if isinstance(error, ModuleNotFoundError):
        name = error.name or ""
        is_ours = name.startswith(("worldweave.", "worldweave_registry."))
        return f"worldweave has no module {name!r}{UPGRADE}" if is_ours else ""
    if found := _UNKNOWN_NAME.search(text):
        module = found["of"] or found["module"]
        name = found["import"] or found["name"]
        known = getattr(sys.modules.get(module), "__all__", ())
        return f"{module} has no {name!r}{did_you_mean(name, known) or UPGRADE}"
    return ""


def _wrong_fields(text: str, kinds: dict[str, type]) -> str:
    """Return which fields of a description are unknown, missing or have no name."""
    unknown = _UNKNOWN_FIELD.search(text)
    if unknown and unknown[1] in kinds:
        known = [field.name for field in attrs.fields(kinds[unknown[1]])]
        advice = did_you_mean(unknown[2], known) or UPGRADE
        return f"{unknown[1]} has no field {unknown[2]!r}{advice}"
    missing = _MISSING_FIELDS.search(text)
    if missing and missing[1] in kinds:
        names = re.findall(r"'\w+'", missing[2])
        return f"{missing[1]} needs {_listed(names)}"
    by_position = _BY_POSITION.search(text)
    if by_position and by_position[1] in kinds:
        return f"{by_position[1]} takes its fields by name, such as license='MIT'"
    return ""


def _listed(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def unknown_hook(name: str, known: Sequence[str]) -> str:
    """Return in one line that no hook is called *name*, and what may be meant."""
    if name.startswith(PREFIX):
        # What all hooks have in common does not make one near to another.
        bare = [hook.removeprefix(PREFIX) for hook in known]
        near = did_you_mean(name.removeprefix(PREFIX), bare)
        advice = near.replace("mean '", f"mean '{PREFIX}") or UPGRADE
    elif PREFIX + name in known:
        advice = f"; did you mean {PREFIX + name!r}?"
    else:
        advice = f"; there are {', '.join(known)}"
    return f"unknown hook {name!r}{advice}"


def wrong_argument(hook: str, takes: Iterable[str], given: Iterable[str]) -> str:
    """Return in one line which of *given* the hook does not have; nothing: it has."""
    known = list(takes)
    wrong = next((name for name in given if name not in known), None)
    if wrong is None:
        return ""
    takes_ = f"{hook} takes {', '.join(known) or 'no argument'}"
    if wrong == "self":
        return (
            f"{takes_}; 'self' is for methods: let the entry point name an instance of "
            "the class, such as 'package.module:plugin', or leave 'self' out"
        )
    advice = did_you_mean(wrong, known) or UPGRADE
    return f"{takes_}; it has no argument {wrong!r}{advice}"
