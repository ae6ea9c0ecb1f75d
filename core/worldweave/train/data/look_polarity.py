"""Check whether bright and dark mean the same in all controls, and the right thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from worldweave.train.data.look_finding import Finding, shared
from worldweave.train.data.look_sample import Seen
from worldweave.train.data.look_viewing import Numbers, Viewing
from worldweave_registry import Modality

#: A correlation below minus this is inverted; between, the two have little in common.
_CLEAR, _SOME = 0.3, 0.2
#: Fewer controls have no pattern in common to speak of.
_LEAST = 4
#: How well most have to fit the common pattern, and how badly the others.
_COMMON, _AGAINST = 0.5, -0.4
#: The share of dark or bright pixels that makes a background, and where they end.
_BACKGROUND, _DARK, _BRIGHT = 0.6, 63, 192
#: The share of controls that is most of them.
_MOST = 2 / 3
_INVERT = (
    "invert them: new value = 255 - old value, for example: ffmpeg -i IN.mp4 -vf "
    "negate OUT.mp4"
)


def polarity_findings(seen: Sequence[Seen], modality: Modality) -> list[Finding]:
    """Tell which controls are inverted, and what could not be judged."""
    films = {
        s.sample.name: s.control
        for s in seen
        if s.control is not None and s.control.flat < s.control.seen and not s.is_copy
    }
    if not films:
        return []
    compared = {
        s.sample.name: s.likeness
        for s in seen
        if s.likeness is not None and s.sample.name in films
    }
    if compared:
        return _against_the_made(compared, len(films), modality.name)
    if modality.is_label_video:
        return []
    inverted = _against_each_other(films)
    return [
        *shared(
            "warning",
            modality.name,
            inverted,
            len(films),
            "control",
            ("seems inverted", "seem inverted"),
            "Where the other files are dark it is bright, and the reverse (like the "
            "others by +1 would be the same picture, by -1 the exact opposite). If "
            "bright means one thing here and another there, the branch learns neither.",
            f"look at them beside the others; if they are, {_INVERT}",
        ),
        *([_by_eye(films, modality)] if modality.preprocessor is None else []),
    ]


def _against_the_made(
    compared: Mapping[str, float], total: int, modality: str
) -> list[Finding]:
    told = {name: f"{value:+.2f}" for name, value in compared.items()}
    inverted = {n: t for n, t in told.items() if compared[n] < -_CLEAR}
    foreign = {n: t for n, t in told.items() if -_CLEAR <= compared[n] < _SOME}
    scale = (
        "The numbers say how much they go together: +1 is the same, 0 unrelated, -1 "
        "the exact opposite."
    )
    only = (
        f" Only {len(compared)} of {total} controls were compared."
        if len(compared) < total
        else ""
    )
    is_mixed = len(inverted) < len(compared)
    return [
        *shared(
            # The branch cannot learn two opposites; one it could.
            "error" if is_mixed else "warning",
            modality,
            inverted,
            len(compared),
            "control",
            ("is inverted", "are inverted"),
            f"It is bright where the preprocessor of {modality!r}, given the same "
            f"video, makes dark, and the reverse. {scale}{only}",
            _INVERT,
        ),
        *shared(
            "warning",
            modality,
            foreign,
            len(compared),
            "control",
            (
                f"does not look like what the preprocessor of {modality!r} makes",
                f"do not look like what the preprocessor of {modality!r} makes",
            ),
            f"Perhaps it belongs to another video. {scale}{only}",
            "look at video and control side by side",
        ),
    ]


def _against_each_other(films: Mapping[str, Viewing]) -> dict[str, str]:
    """Return the controls that are bright where the others are dark."""
    if len(films) < _LEAST:
        return {}
    names = list(films)
    odd: dict[str, str] = {}
    fits = _fits([films[name].average.mean(axis=2) for name in names])
    if np.median(fits) > _COMMON:
        odd |= {
            name: f"like the others by {fit:+.2f}"
            for name, fit in zip(names, fits.tolist(), strict=True)
            if fit < _AGAINST
        }
    dark = [n for n in names if films[n].share(0, _DARK) > _BACKGROUND]
    bright = [n for n in names if films[n].share(_BRIGHT, 255) > _BACKGROUND]
    for few, many, where, share in (
        (bright, dark, "bright", (_BRIGHT, 255)),
        (dark, bright, "dark", (0, _DARK)),
    ):
        if len(many) >= _MOST * len(names):
            odd |= {n: f"{films[n].share(*share):.0%} of it is {where}" for n in few}
    return {name: odd[name] for name in names if name in odd}


def _fits(pictures: Sequence[Numbers]) -> Numbers:
    """Return the correlation of each picture with the pattern most have in common."""
    rows = np.stack([picture.reshape(-1) for picture in pictures])
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    pattern = np.linalg.svd(rows, full_matrices=False)[2][0]
    fits: Numbers = (rows @ pattern).astype(np.float32)
    return -fits if np.median(fits) < 0 else fits


def _by_eye(films: Mapping[str, Viewing], modality: Modality) -> Finding:
    """Say what only a person can judge, with two numbers to judge by."""
    rows = np.stack([film.average.mean(axis=(1, 2)) for film in films.values()])
    third = rows.shape[1] // 3
    upper, lower = rows[:, :third].mean(axis=1), rows[:, -third:].mean(axis=1)
    meaning = modality.metadata.get("polarity") or modality.summary
    is_near = "near" in meaning.lower()
    return Finding(
        severity="note",
        subject=modality.name,
        says=f"Whether bright and dark are the right way round cannot be told from "
        f"the files alone: {modality.name!r} has no preprocessor to compare with. Its "
        f"plugin says: {meaning!r}. The lower third of the picture has the mean value "
        f"{lower.mean():.0f}, the upper third {upper.mean():.0f}, on a scale from 0 "
        f"(black) to 255 (white); the lower one is brighter in "
        f"{int((lower > upper).sum())} of {len(films)} controls.",
        mend=(
            "compare with the plugin's words: filmed from a car or at eye level, the "
            "lower part of a picture is nearer than the upper"
            if is_near
            else "look at one control and compare it with the plugin's words"
        ),
    )
