"""Read the specs of other systems as requests, and say what became of each key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from worldweave.request.foreign import transfer1, transfer1_controls, transfer25
from worldweave.request.foreign.common import Note, Translation

__all__ = ["FLAVOURS", "Flavour", "Note", "Translation", "flavour_of", "translate"]

Flavour: TypeAlias = Literal["transfer1", "transfer2.5"]
FLAVOURS: tuple[Flavour, ...] = ("transfer1", "transfer2.5")
_TITLES = {"transfer1": "Cosmos-Transfer1", "transfer2.5": "Cosmos-Transfer2.5"}


def translate(
    plain: dict[str, Any],
    *,
    flavour: Flavour | None = None,
    base: str | None = None,
    makers: Mapping[str, bool] | None = None,
    read_text: Callable[[str], str] | None = None,
) -> Translation:
    """Turn a spec of Cosmos-Transfer1 or 2.5 into a request in our JSON form.

    flavour: which of the two it is; None: what its keys tell. base: the base to ask
    for. makers: by name of each installed modality, whether it makes its control from
    a video; None: not checked. read_text: how a file of a prompt is read.

    What is refused is not in the request. File names stay as they are written.
    """
    told = _telling_key(plain)
    if flavour is None:
        flavour = flavour_of(plain)
        why = f"by its key {told!r}" if told else "as no key is only of 2.5"
    else:
        why = "as asked for"
    if flavour == "transfer1":
        made = transfer1.translate(plain, base=base, makers=makers)
    else:
        made = transfer25.translate(
            plain, base=base, makers=makers, read_text=read_text
        )
    first = Note(
        path="(spec)", verdict="became", what=f"read as {_TITLES[flavour]}, {why}"
    )
    return attrs.evolve(made, notes=(first, *made.notes))


def flavour_of(plain: Mapping[str, Any]) -> Flavour:
    """Return which system a spec is of: 2.5 if it has a key only that one knows."""
    return "transfer1" if _telling_key(plain) is None else "transfer2.5"


def _telling_key(plain: Mapping[str, Any]) -> str | None:
    """Return the first key that Cosmos-Transfer2.5 knows and Cosmos-Transfer1 not."""
    only_top = {"prompt_path", *transfer25.TOP} - set(transfer1.TOP)
    only_in_hints = set(transfer25.HINT_KEYS) - set(transfer1_controls.HINT_KEYS)
    for key, value in plain.items():
        if key in only_top:
            return key
        if key in transfer25.HINTS and isinstance(value, dict):
            for inner in value:
                if inner in only_in_hints:
                    return f"{key}.{inner}"
    return None
