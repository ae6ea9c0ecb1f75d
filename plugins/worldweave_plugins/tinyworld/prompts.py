"""Put a scene into words, in many ways, from a closed vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

# Each phrase stands alone; templates join them with commas or small words.
TIMES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = MappingProxyType(
    {
        # time: (adjectives before a place, phrases after it)
        "day": (("day", "daytime", "sunny", "bright"), ("by day", "in the day", "day")),
        "dusk": (
            ("dusk", "evening", "sunset"),
            ("at dusk", "in the evening", "at sunset", "dusk"),
        ),
        "night": (("night", "dark"), ("at night", "in the dark", "night")),
    }
)
STREETS: Final = ("street", "road", "city street")
CARS: Final = (("car", "cars"), ("car", "cars"), ("vehicle", "vehicles"))
HOUSES: Final = ("buildings", "buildings", "houses")
WALLS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"brick": ("brick", "brown"), "grey": ("grey", "gray", "concrete")}
)
ARMS: Final = ("robot arm", "robot arm", "robotic arm", "arm", "robot")
TABLES: Final = ("table", "table", "desk")
MATERIALS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"wooden": ("wooden", "wood", "brown"), "metal": ("metal", "grey", "gray")}
)
SHAPES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "box": (("box", "boxes"), ("cube", "cubes"), ("block", "blocks")),
        "ball": (("ball", "balls"), ("ball", "balls"), ("sphere", "spheres")),
    }
)
COUNTS: Final = ("one", "two", "three")

_WORDS: Final = (
    "a and arm at ball balls between block blocks blue box boxes brick bright "
    "brown buildings by car cars city concrete cube cubes dark day daytime desk "
    "driving dusk evening gray green grey houses in metal moving next night of on "
    "one purple red road robot robotic scene sphere spheres street sunny sunset "
    "table the three to two vehicle vehicles video white with wood wooden yellow "
)
VOCABULARY: Final = tuple(_WORDS.split())
"""Every word a training prompt can hold, sorted; the aliases aside."""

ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "an": "a",
        "arms": "arm",
        "auto": "car",
        "automobile": "car",
        "automobiles": "cars",
        "autos": "cars",
        "bricks": "brick",
        "building": "buildings",
        "cities": "city",
        "clip": "video",
        "daylight": "day",
        "desks": "desk",
        "house": "houses",
        "nighttime": "night",
        "roads": "road",
        "robots": "robot",
        "streets": "street",
        "tables": "table",
        "town": "city",
        "twilight": "dusk",
        "violet": "purple",
    }
)
"""Words that are read as another word, which training prompts do hold."""


def split(prompt: str) -> list[str]:
    """Split a prompt into lower-case words, aliases replaced.

    Punctuation only separates.
    """
    return [ALIASES.get(word, word) for word in re.findall(r"\w+", prompt.lower())]


def unknown_words(prompt: str) -> list[str]:
    """List the words the vocabulary lacks, once each, in their order."""
    return list(dict.fromkeys(w for w in split(prompt) if w not in VOCABULARY))


def describe_street(
    rng: np.random.Generator, colour: str, count: int, wall: str, time: str
) -> str:
    """Write a prompt for a street; the wall is named in half of them."""
    cars = _counted(rng, colour, CARS, count)
    street = _pick(rng, STREETS)
    before, after = (_pick(rng, words) for words in TIMES[time])
    houses = f"{_pick(rng, WALLS[wall])} {_pick(rng, HOUSES)}"
    plain = (
        f"{cars} on a {street} {after}",
        f"{cars} on {_article(before)} {before} {street}",
        f"{_article(before)} {before} {street} with {cars}",
        f"{before} {street}, {cars}",
        f"a {street} {after}, {cars}",
        f"{after}, {cars} driving on the {street}",
        f"the {street} {after} with {cars}",
        f"{cars}, {street}, {after}",
    )
    full = (
        f"{cars} on a {street} with {houses} {after}",
        f"{_article(before)} {before} {street} with {houses} and {cars}",
        f"{cars} on {_article(before)} {before} {street}, {houses}",
        f"{before} {street}, {cars}, {houses}",
        f"{cars} driving between {houses} {after}",
        f"{houses} on {_article(before)} {before} {street} and {cars}",
        f"a video of {cars} on a {street}, {houses}, {after}",
    )
    return _pick(rng, full if rng.random() < 0.5 else plain)


def describe_table(
    rng: np.random.Generator,
    arm_colour: str,
    colour: str,
    shape: str,
    count: int,
    material: str,
    time: str,
) -> str:
    """Write a prompt for a table; the material is named in half of them."""
    arm = f"a {arm_colour} {_pick(rng, ARMS)}"
    things = _counted(rng, colour, SHAPES[shape], count)
    table = _pick(rng, TABLES)
    if rng.random() < 0.5:
        table = f"{_pick(rng, MATERIALS[material])} {table}"
    before, after = (_pick(rng, words) for words in TIMES[time])
    return _pick(
        rng,
        (
            f"{arm} and {things} on a {table}, {after}",
            f"{arm} with {things} on a {table} {after}",
            f"{things} and {arm} on a {table} {after}",
            f"{things} on a {table} next to {arm}, {after}",
            f"a {table} with {things} and {arm}, {after}",
            f"{after}, {arm} on a {table} with {things}",
            f"{before} scene, {arm}, {things}, {table}",
            f"{arm} moving on the {table}, {things}, {after}",
            f"{arm}, {things}, {table}, {after}",
            f"a video of {arm} moving on a {table} with {things}, {after}",
        ),
    )


def _counted(
    rng: np.random.Generator,
    colour: str,
    nouns: Sequence[tuple[str, str]],
    count: int,
) -> str:
    one, many = nouns[int(rng.integers(len(nouns)))]
    if count == 1:
        return f"{_pick(rng, ('a', 'a', 'one'))} {colour} {one}"
    if rng.random() < 0.5:
        return f"{COUNTS[count - 1]} {colour} {many}"
    return f"{colour} {many}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
