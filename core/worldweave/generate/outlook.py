"""What a request will do, where and at what cost, told before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import torch

from worldweave.forecast import Forecast, forecast, process_bytes
from worldweave.generate.shares import WHOLE, Share, alive_steps, chunks_of, shares
from worldweave.loading import usable_device
from worldweave.request.check import Prepared
from worldweave.request.maps.schedule import told
from worldweave.request.spec import Request
from worldweave.request.structure import to_plain
from worldweave.request.survey import Survey, survey
from worldweave_registry import Base, Catalog, WorldweaveError


@attrs.frozen(kw_only=True, eq=False)
class Outlook:
    """A request looked at, its shares and its cost.

    shares: mean effective values by region and chunk. memory: bytes to fit into on
    the device that computes; None: not known, and then it fits.
    """

    looked: Survey
    shares: tuple[Share, ...]
    forecast: Forecast
    device: torch.device
    memory: int | None

    @property
    def peak(self) -> int:
        """The bytes needed at most on the device that computes."""
        on_device = self.forecast.device_bytes
        return self.forecast.host_bytes if on_device is None else on_device

    @property
    def fits(self) -> bool:
        """Whether there is enough memory, as far as that is known."""
        return self.memory is None or self.peak <= self.memory

    @property
    def missing(self) -> list[str]:
        """Why files cannot be read, one line each."""
        files = self.forecast.files
        return [f"{f.what}: {f.problem}" for f in files if f.problem is not None]

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        looked, cost = self.looked, self.forecast
        footage = looked.footage
        return {
            "request": to_plain(looked.request),
            "base": looked.base.name,
            "device": str(self.device),
            "video": {
                "frames": footage.frames,
                "size": list(footage.size),
                "source_size": list(footage.seen_size),
                "fps": float(footage.fps),
                "chunks": [chunk.start for chunk in chunks_of(looked)],
                "padded_frames": cost.padded,
            },
            "runs": {
                name: {
                    "evaluations": alive_steps(looked, name),
                    "schedule": told(each.control.schedule),
                    "map": self._how(name),
                }
                for name, each in looked.prepared.items()
            },
            "left_out": dict(looked.left_out),
            "shares": [attrs.asdict(share) for share in self.shares],
            "objects": [attrs.asdict(v) for v in self.verdicts],
            "files": [
                attrs.asdict(file) | {"path": file.path and str(file.path)}
                for file in cost.files
            ],
            "flops": dict(cost.flops) | {"total": cost.total_flops},
            "bytes": dict(cost.bytes),
            "peak_host_bytes": cost.host_bytes,
            "peak_device_bytes": cost.device_bytes,
            "memory": self.memory,
            "fits": self.fits,
            "seconds": cost.seconds,
            "notes": list(cost.notes),
        }

    @property
    def verdicts(self) -> tuple[Any, ...]:
        """What is called foreground and why, where that is known without a model."""
        regions = {share.region for share in self.shares}
        return tuple(self.looked.sight.verdicts) if "foreground" in regions else ()

    def _how(self, name: str) -> str:
        if name in self.looked.learned:
            return "predicted from the hints"
        return "needs a model" if name in self.looked.pending else "known"


def look_ahead(
    request: Request,
    catalog: Catalog,
    *,
    device: str | None = None,
    memory: int | None = None,
    process: Callable[[], int | None] = process_bytes,
) -> Outlook:
    """Read what *request* names and foretell the rest; no weights are read.

    device: what will compute, which need not be here. memory: bytes to fit into,
    None: what is free here. process: asked once, before any video is read, how much
    memory this process has. Raise Problems naming everything that is wrong.
    """
    place = _place(device)
    before = process()
    looked = survey(request, catalog, _whatever)
    known = shares(looked)
    per_chunk = max(1, len(chunks_of(looked)))
    cost = forecast(
        looked.base,
        {name: each.modality for name, each in looked.prepared.items()},
        size=looked.footage.size,
        frames=looked.footage.frames,
        steps=request.steps,
        guidance=request.guidance,
        overlap=request.overlap,
        device=place,
        evaluations={
            name: math.ceil(alive_steps(looked, name) / per_chunk)
            for name in looked.prepared
        },
        has_source=looked.footage.source is not None,
        from_source=request.sigma_max < 80,
        map_bytes=sum(values.nbytes for values in looked.maps.values()),
        weights={
            name: each.control.weights
            for name, each in looked.prepared.items()
            if each.control.weights is not None
        },
        learned={source.learned for source in looked.learned.values()},
        compat=request.compat,
        process=before,
        hook=catalog.hook,
    )
    if memory is None:
        on_gpu = place.type != "cpu"
        memory = cost.available_device if on_gpu else cost.available_host
    return Outlook(
        looked=looked,
        shares=tuple(known),
        forecast=cost,
        device=place,
        memory=memory,
    )


def _whatever(name: str, prepared: Prepared, base: Base) -> list[str]:
    """Missing weights are shown in the plan; they do not keep it from being made."""
    return []


def _place(asked: str | None) -> torch.device:
    """Return the device that will compute, which need not be in this machine."""
    if asked is None:
        return usable_device(None)
    try:
        return torch.device(asked)
    except RuntimeError as error:
        raise WorldweaveError(
            f"there is no device {asked!r} for torch; give cpu or cuda"
        ) from error


def in_one_row(found: tuple[Share, ...]) -> list[tuple[str, str, Share]]:
    """Return (chunks, region, share), one after another that show the same as one.

    Chunks count from 1: "1", "2-40".
    """
    rows: list[tuple[int, int, Share]] = []
    by_region: dict[str, list[Share]] = {}
    for share in found:
        by_region.setdefault(share.region, []).append(share)
    for run in by_region.values():
        first = 0
        for at, share in enumerate(run):
            last = at + 1 == len(run)
            if last or _shown(run[at + 1]) != _shown(share):
                rows.append((run[first].chunk, share.chunk, share))
                first = at + 1
    order = list(by_region)
    rows.sort(key=lambda row: (row[0], order.index(row[2].region)))
    return [
        (str(a + 1) if a == b else f"{a + 1}-{b + 1}", share.region, share)
        for a, b, share in rows
    ]


def _shown(share: Share) -> tuple[Any, ...]:
    values = {n: None if v is None else round(v, 3) for n, v in share.values.items()}
    return (round(share.pixels, 2), tuple(values.items()))


__all__ = ["WHOLE", "Outlook", "in_one_row", "look_ahead"]
