"""The takes of a demonstration: what is generated of a subject, with which maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from worldweave.evaluate.demo.subjects import Subject
from worldweave.io.arrays import save_array
from worldweave_registry import Modality

#: A number for everywhere, or which of the subject's two maps.
MapValue: TypeAlias = float | Literal["foreground", "background"]


@attrs.frozen(kw_only=True, eq=False)
class Take:
    """One generation: its file name without suffix, a title, its maps by modality.

    control: whose control is shown with it. leads: (foreground, background) where
    two modalities share the picture.
    """

    name: str
    title: str
    maps: Mapping[str, MapValue]
    control: str | None = None
    leads: tuple[str, str] | None = None


def takes_of(subject: Subject, leads: tuple[str, str] | None) -> list[Take]:
    """Return the takes: no control, each by itself, all, then the two maps.

    *leads* are the modalities of foreground and background, None for no maps.
    """
    names = list(subject.controls)
    takes = [Take(name="prompt-only", title="prompt only", maps={})]
    takes += [Take(name=n, title=n, maps={n: 1.0}, control=n) for n in names]
    if len(names) > 1:
        everything = dict.fromkeys(names, 1.0)
        takes.append(Take(name="all", title=" + ".join(names), maps=everything))
    if leads is not None:
        takes += [_shared(pair) for pair in (leads, (leads[1], leads[0]))]
    return takes


def choose_leads(
    wanted: Sequence[str], modalities: Mapping[str, Modality], shown: Sequence[str]
) -> tuple[str, str] | None:
    """Return which modalities share the picture between them, if two can.

    The *wanted* ones where they are shown, then those with a metric.
    """
    scored = [name for name in shown if modalities[name].metric is not None]
    order = dict.fromkeys([*(n for n in wanted if n in shown), *scored, *shown])
    first, second, *_ = [*order, None, None]
    return None if first is None or second is None else (first, second)


def save_maps(subject: Subject, folder: Path) -> dict[str, Path]:
    """Write the two maps as float32 (T, H, W) to *folder*; return their files."""
    files = {name: folder / f"{name}.npy" for name in ("foreground", "background")}
    save_array(files["foreground"], subject.foreground)
    save_array(files["background"], 1 - subject.foreground)
    return files


def _shared(leads: tuple[str, str]) -> Take:
    inside, outside = leads
    return Take(
        name=f"{inside}-within-{outside}",
        title=f"{inside} in the foreground, {outside} behind",
        maps={inside: "foreground", outside: "background"},
        leads=leads,
    )
