"""From the arguments of a Python call to one request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from worldweave.request.check import raise_all
from worldweave.request.sources import MapValue
from worldweave.request.spec import Control, Request, VideoValue
from worldweave_registry import did_you_mean


def request_of_call(
    base: str,
    enabled: Iterable[str],
    prompt: str,
    video: VideoValue | Path | None,
    maps: Mapping[str, MapValue | Path] | None,
    controls: Mapping[str, VideoValue | Path] | None,
    options: Mapping[str, Mapping[str, Any]] | None,
    settings: Mapping[str, Any],
) -> Request:
    """Return the request; every enabled modality takes part.

    Raise Problems naming every argument that is none.
    """
    raise_all(_call_problems(maps, controls, options, settings))
    maps, controls, options = maps or {}, controls or {}, options or {}
    return Request(
        base=base,
        prompt=prompt,
        video=video,
        controls={
            name: Control(
                map=maps.get(name),
                video=controls.get(name),
                options=dict(options.get(name, {})),
            )
            for name in dict.fromkeys([*enabled, *maps, *controls, *options])
        },
        **settings,
    )


def _call_problems(
    maps: Any, controls: Any, options: Any, settings: Mapping[str, Any]
) -> list[str]:
    """Return how a call of `generate` misses its signature, one line each."""
    found = [
        f"{name} is {value!r}; give a dict from modality to value"
        for name, value in (("maps", maps), ("controls", controls))
        if value is not None and not isinstance(value, Mapping)
    ]
    if options is not None and not (
        isinstance(options, Mapping)
        and all(isinstance(each, Mapping) for each in options.values())
    ):
        found.append(f"options is {options!r}; give a dict of dicts by modality")
    taken = {"base", "prompt", "video", "controls"}
    known = [f.name for f in attrs.fields(Request) if f.name not in taken]
    found += [
        f"generate has no setting {name!r}"
        + (did_you_mean(name, known) or f"; it has: {', '.join(known)}")
        for name in settings
        if name not in known
    ]
    return found
