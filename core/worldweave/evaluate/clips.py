"""The clips that a base makes itself and that no training has seen."""

from __future__ import annotations

from worldweave.base import HELD_OUT, Clip
from worldweave.blame import blamed
from worldweave.train.clip_source import checked
from worldweave_registry import Base, PluginError, WorldweaveError


def held_out(base: Base, count: int, *, first: int = 0) -> list[Clip]:
    """Make the held-out clips *first*, *first* + 1, ... of *base*.

    Raise WorldweaveError for a base that makes none, or fails at it or makes fewer.
    """
    if base.clips is None:
        raise WorldweaveError(f"base {base.name!r} makes no clips to evaluate on")
    make = base.clips.load()
    with blamed(f"the maker of clips {base.clips}", base.clips.report):
        made = make(HELD_OUT + first, count)
    found = list(checked(made, base, count, base.clips))
    if len(found) < count:
        raise PluginError(
            f"{base.clips} makes {len(found)} clips where {count} were asked for; "
            f"{base.clips.report}"
        )
    return found
