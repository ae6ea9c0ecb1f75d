"""Word error messages: always one line, with a suggestion where one is near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import attrs

from worldweave_registry.errors import WorldweaveError, let_interrupts_pass


def one_line(error: BaseException) -> str:
    """Return what *error* says, on one line and without internals.

    Our own errors speak for themselves; any other is led by its type.
    """
    try:
        message = str(error)
    except BaseException as failure:
        let_interrupts_pass(failure)
        message = ""  # somebody else's error, which cannot even be told
    # The validators of attrs add the attribute and the value behind the
    # message; printing all of it would bury the message.
    if len(error.args) > 1 and isinstance(error.args[1], attrs.Attribute):
        message = str(error.args[0])
    text = "; ".join(line.strip() for line in message.splitlines() if line.strip())
    if isinstance(error, WorldweaveError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that *word* was probably meant to be, if any."""
    close = difflib.get_close_matches(word.lower(), sorted(known), n=1)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or nothing when no known word is near."""
    match = nearest(word, known)
    return f"; did you mean {match!r}?" if match else ""
