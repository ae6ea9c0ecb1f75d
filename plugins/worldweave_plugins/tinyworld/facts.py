"""Read from a prompt what can be checked in a video: time of day and colours."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import attrs

from worldweave_plugins.tinyworld.labels import OBJECT_COLOURS
from worldweave_plugins.tinyworld.prompts import ARMS, CARS, SHAPES, TIMES, split

PAINTS: Final = tuple(OBJECT_COLOURS)
TIMES_OF_DAY: Final = tuple(TIMES)
_NOUNS: Final[Mapping[str, str]] = {
    **{noun: "car" for forms in CARS for noun in forms},
    **{
        noun: "object" for shape in SHAPES.values() for forms in shape for noun in forms
    },
    **{noun.split()[0]: "arm" for noun in ARMS},
}
_TIME_WORDS: Final[Mapping[str, str]] = {
    word: time for time, (words, _) in TIMES.items() for word in words
}


@attrs.frozen(kw_only=True)
class Facts:
    """What a prompt says: one of TIMES_OF_DAY or None, and of each class of CLASSES
    whose colour it names, that colour of PAINTS."""

    time: str | None
    colours: Mapping[str, str]


def facts(prompt: str) -> Facts:
    """Return what *prompt* says; of two that contradict each other the last."""
    words = split(prompt)
    time = None
    for word in words:
        time = _TIME_WORDS.get(word, time)
    colours = {
        _NOUNS[noun]: colour
        for colour, noun in pairwise(words)
        if colour in OBJECT_COLOURS and noun in _NOUNS
    }
    return Facts(time=time, colours=colours)
