"""Lay filmed subjects out: what stands where on the page and on the sheet."""

# T frames, H W rows and columns

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from worldweave.base import Frames
from worldweave.evaluate.demo.film import Filmed
from worldweave.evaluate.demo.page import Card, Group, Page, Picture, Scene, shown
from worldweave.evaluate.demo.prepare import Demo
from worldweave.evaluate.demo.scoreboard import Scoreboard
from worldweave.evaluate.demo.takes import Take
from worldweave.generate.sheet import contact_sheet, titled

AMBER = (255, 170, 40)
BLUE = (30, 110, 210)
#: The share of a map's picture that is colour and not the source.
_TINT = 0.6


@attrs.frozen(kw_only=True)
class Cost:
    """What the demonstration took: seconds, of all processors together, bytes."""

    seconds: float
    processor_seconds: float
    peak_bytes: int | None

    def __str__(self) -> str:
        text = f"{self.seconds:.0f} s ({self.processor_seconds:.0f} s of compute)"
        if self.peak_bytes is None:
            return text
        return f"{text}, peak {self.peak_bytes / 1e6:.0f} MB"


def page_of(
    demo: Demo,
    filmed: Sequence[Filmed],
    commands: Sequence[tuple[str, str]],
    cost: Cost,
) -> Page:
    """Return everything the page says and shows."""
    count = len(demo.modalities)
    base = demo.base
    frames = filmed[0].subject.frames
    return Page(
        title=f"One frozen base, {count} control{'s' * (count != 1)}, woven by maps",
        lead=(
            "In each scene every clip starts from the same noise and the same prompt; "
            f"only the controls and their maps differ. {base.name} itself never "
            "changes: each control is a branch that is switched on and off."
        ),
        facts=(
            ("base", base.name),
            ("controls", ", ".join(demo.modalities)),
            ("clips", f"{frames.shape[2]}x{frames.shape[1]}, {len(frames)} frames"),
            ("steps, guidance", f"{base.steps}, {base.guidance:g}"),
            ("seed", str(demo.seed)),
            ("this page took", str(cost)),
        ),
        scenes=tuple(_scene(demo, each) for each in filmed),
        commands=tuple(commands),
        small_print=tuple(_small_print(demo, filmed)),
    )


def sheet_of(filmed: Sequence[Filmed]) -> Frames:
    """Return one picture (H, W, 3): controls above, what they made below."""
    bands = []
    for each in filmed:
        columns = {"source": each.subject.frames}
        above: dict[str, Frames] = {}
        for take, generation in each.made.items():
            title = "all" if take.name == "all" else take.title
            if take.leads is not None:
                title = " / ".join(take.leads)
                above[title] = map_picture(take, each)
            elif take.control is not None:
                above[title] = each.subject.controls[take.control]
            columns[title] = generation.frames
        sheet = contact_sheet(columns, moments=3, above=above)
        bands.append(titled(sheet, _quoted(each.subject.prompt)))
    width = max(band.shape[1] for band in bands)
    return np.concatenate(
        [
            np.pad(b, ((0, 0), (0, width - b.shape[1]), (0, 0)), constant_values=255)
            for b in bands
        ]
    )


def map_picture(take: Take, filmed: Filmed) -> Frames:
    """Return the two maps of *take* as colours over the gray source (T, H, W, 3).

    The modality that leads the foreground in the first of two such takes is amber
    in both, the other blue.
    """
    subject = filmed.subject
    inside, _ = take.leads or ("", "")
    first = next(each.leads for each in filmed.made if each.leads is not None)
    colours = (AMBER, BLUE) if first[0] == inside else (BLUE, AMBER)
    mask = subject.foreground[..., None]
    tint = mask * np.array(colours[0]) + (1 - mask) * np.array(colours[1])
    gray = subject.frames.mean(axis=-1, keepdims=True, dtype=np.float32)
    picture = _TINT * tint + (1 - _TINT) * gray
    return np.asarray(picture.round().clip(0, 255), np.uint8)


def _scene(demo: Demo, filmed: Filmed) -> Scene:
    subject = filmed.subject
    shared = [take for take in filmed.made if take.leads is not None]
    groups = [
        Group(
            title="Controls one by one, then together",
            note="Above, what a branch is shown; below, what the base makes of it.",
            cards=(
                _source_card(filmed),
                *(_card(demo, filmed, t) for t in filmed.made if t not in shared),
            ),
            scoreboard=filmed.scores if filmed.scores.columns else None,
        )
    ]
    if shared:
        first, second = shared[0].leads or ("", "")
        groups.append(
            Group(
                title="One control for the foreground, another for the background",
                note=(
                    f"Maps give each place of each frame to one branch: amber to "
                    f"{first}, blue to {second}; then the other way round. "
                    f"The foreground is {subject.foreground_from}."
                ),
                cards=tuple(_card(demo, filmed, take) for take in shared),
                scoreboard=filmed.regions,
            )
        )
    return Scene(
        title=_quoted(subject.prompt),
        note=f"{subject.origin}.",
        fps=subject.fps,
        groups=tuple(groups),
    )


def _source_card(filmed: Filmed) -> Card:
    return Card(
        title="source",
        note="What the controls come from, and what the autoencoder alone leaves of "
        "it: no clip can look better than that.",
        pictures=(
            Picture(label="source", frames=filmed.subject.frames),
            Picture(label="through the autoencoder", frames=filmed.decoded),
        ),
    )


def _card(demo: Demo, filmed: Filmed, take: Take) -> Card:
    if take.leads is not None:
        inside, outside = take.leads
        above = Picture(label="maps", frames=map_picture(take, filmed))
        title, note = take.title, f"{inside} leads inside the mask, {outside} outside."
    elif take.control is not None:
        above = Picture(label="control", frames=filmed.subject.controls[take.control])
        title, note = take.title, f"{demo.modalities[take.control].summary}."
    elif take.maps:
        share = f"all {len(take.maps)} controls, map 1/{len(take.maps)} each"
        above = Picture(label=share, frames=None)
        title, note = (
            "all together",
            f"Maps that add up to more than one share one: {take.title}.",
        )
    else:
        above = Picture(label="no control", frames=None)
        title, note = take.title, "All branches off: the base by itself."
    return Card(
        title=title,
        note=note,
        pictures=(
            above,
            Picture(label="generated", frames=filmed.made[take].frames),
        ),
        score=_own_score(filmed, take),
    )


def _own_score(filmed: Filmed, take: Take) -> str:
    """Return a line with the metrics of the control that leads *take*."""
    if take.leads is not None and filmed.regions is not None:
        wanted = set(zip(take.leads, ("foreground", "background"), strict=True))
        board = filmed.regions
        return "; ".join(
            f"{column.metric} in the {column.region} {_score(board, take.title, at)}"
            for at, column in enumerate(board.columns)
            if (column.modality, column.region) in wanted
        )
    board = filmed.scores
    return "; ".join(
        f"{column.metric} {_score(board, take.title, at)}, "
        f"prompt only {_score(board, 'prompt only', at)}"
        for at, column in enumerate(board.columns)
        if column.modality == take.control
    )


def _score(board: Scoreboard, title: str, column: int) -> str:
    return next(shown(row.scores[column]) for row in board.rows if row.title == title)


def _small_print(demo: Demo, filmed: Sequence[Filmed]) -> list[str]:
    base = demo.base
    lines = [
        f"{base.name} is: {base.summary}. The pictures are as good as this base; the "
        "framework runs larger ones through the same code.",
        "Scores compare each clip with its source. One clip and one seed cannot rank "
        "controls: worldweave evaluate scores many held-out clips.",
        "Where a region is scored, the rest of the clip is replaced by the source, so "
        "that only the region can lose points.",
        "The clips are stored as H.264, enlarged without smoothing; the files beside "
        "this page have their true size, and a manifest from which worldweave replay "
        "makes them again.",
    ]
    if any(column.judged for each in filmed for column in each.scores.columns):
        lines.append(
            "A judge is a small network of the base that reads the clip. It errs too: "
            "read the other scores beside that of the source itself, in the first row."
        )
    for each in filmed:
        if each.unjudged:
            lines.append(f"No judge has looked at the clips: {each.unjudged}.")
        lines += [
            f"Not shown: {name} ({why})." for name, why in each.subject.unshown.items()
        ]
    return list(dict.fromkeys(lines))


def _quoted(prompt: str) -> str:
    return f"“{prompt}”" if prompt else "no prompt"
