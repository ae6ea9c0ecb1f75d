"""What a request will do, where and at what cost, told before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import torch

from worldweave.forecast import Forecast, forecast
from worldweave.forecast.machine import first_bytes, peak_bytes, process_bytes
from worldweave.forecast.models import Task, list_models
from worldweave.forecast.whole import COUNTS
from worldweave.generate.shares import Runs, Share, chunks_of, runs, shares
from worldweave.loading import usable_device
from worldweave.request.check import Prepared
from worldweave.request.maps.schedule import told
from worldweave.request.maps.sight import BY_RULE, FROM_LABELS
from worldweave.request.sources import Prompt, Salient
from worldweave.request.spec import Request
from worldweave.request.structure import to_plain
from worldweave.request.survey import Survey, survey
from worldweave.request.walk import maps_in
from worldweave_registry import Base, Catalog, WorldweaveError


@attrs.frozen(kw_only=True, eq=False)
class Outlook:
    """A request looked at, its shares and its cost.

    shares: mean effective values by region and chunk. runs: how often each branch
    will, by modality.
    """

    looked: Survey
    shares: tuple[Share, ...]
    runs: dict[str, Runs]
    forecast: Forecast
    device: torch.device

    @property
    def peak(self) -> int:
        """The bytes needed at most on the device that computes."""
        on_device = self.forecast.device_bytes
        return self.forecast.host_bytes if on_device is None else on_device

    @property
    def memory(self) -> int | None:
        """The bytes to fit into on the device that computes; None: not known."""
        cost = self.forecast
        is_on_host = cost.device_bytes is None
        return cost.available_host if is_on_host else cost.available_device

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
                    "evaluations": self.runs[name].evaluations,
                    "chunks_encoded": self.runs[name].chunks,
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
            "memory_of_host": cost.available_host,
            "fits": cost.fits,
            "seconds": cost.seconds,
            "notes": list(cost.notes),
            "gpus": [each.to_plain() for each in cost.ranks],
            "not_shared": list(cost.not_shared),
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
    gpus: int | None = None,
) -> Outlook:
    """Read what *request* names and foretell the rest; no weights are read.

    device: what will compute, which need not be here. memory: bytes to fit into on
    it, None: what is free here. gpus: how many share the work; None: one, and what
    each of more would hold is told beside. What reading and drawing take is not
    foretold but measured: it is done here just as it will be. Raise Problems naming
    everything that is wrong.
    """
    place = _place(device)
    first, process, earlier = first_bytes(), process_bytes(), peak_bytes()
    looked = survey(request, catalog, _refused)
    known = shares(looked)
    reading = _reading(first, process, earlier, peak_bytes())
    often = runs(looked)
    cost = forecast(
        looked.base,
        {name: each.modality for name, each in looked.prepared.items()},
        size=looked.footage.size,
        frames=looked.footage.frames,
        steps=request.steps,
        guidance=request.guidance,
        overlap=request.overlap,
        device=place,
        evaluations={name: each.evaluations for name, each in often.items()},
        encoded={name: each.chunks for name, each in often.items()},
        has_source=looked.footage.source is not None,
        from_source=request.sigma_max < 80,
        map_bytes=sum(values.nbytes for values in looked.maps.values()),
        reading=reading,
        weights={
            name: each.control.weights
            for name, each in looked.prepared.items()
            if each.control.weights is not None
        },
        learned={source.learned for source in looked.learned.values()},
        compat=request.compat,
        process=process,
        hook=catalog.hook,
        gpus=_counts(gpus, place),
    )
    if gpus is not None:
        cost = _on_gpus(cost)
    if memory is not None:
        cost = (
            attrs.evolve(cost, available_host=memory)
            if place.type == "cpu"
            else attrs.evolve(cost, available_device=memory)
        )
    models = list_models(_tasks(looked), catalog)
    notes = [
        f"what a model takes to see the map of {name!r} is left out"
        for name in looked.pending
    ]
    return Outlook(
        looked=looked,
        shares=tuple(known),
        runs=often,
        forecast=attrs.evolve(
            cost, files=cost.files + models, notes=(*cost.notes, *notes)
        ),
        device=place,
    )


def _counts(gpus: int | None, place: torch.device) -> tuple[int, ...]:
    """Return for how many processes to tell the memory: a second or two of counting."""
    if gpus is not None:
        return (gpus,)
    return () if place.type == "cpu" else COUNTS


def _on_gpus(cost: Forecast) -> Forecast:
    """Return *cost* with the memory of the one layout it tells of.

    That of the first rank, which holds the most; of the host, that of all processes.
    """
    (told,) = cost.ranks
    world = told.plan.world
    notes = list(cost.notes)
    if world < told.gpus:
        notes.append(f"the layout is for {world} of the {told.gpus} GPUs")
    if world > 1:
        notes.append(
            f"memory is that of the first of {world} ranks, on the host that of all "
            "on one machine; each counts what they share of libraries"
        )
    if world > 1 and cost.seconds is not None:
        notes.append("the time is that of one GPU")
    return attrs.evolve(
        cost,
        bytes=told.first.by_part(),
        host_bytes=told.host,
        device_bytes=told.first.device,
        notes=tuple(notes),
    )


def _reading(
    first: int | None, process: int | None, earlier: int | None, most: int | None
) -> int | None:
    """Return the most a generation will hold until its maps are drawn.

    It reads with *first* bytes where a plan has *process*: it imports the rest later.
    None where this process had held more *earlier*: then all there is to know is that
    it sufficed.
    """
    if first is None or process is None or most is None or most == earlier:
        return None
    return most - (process - first)


def _tasks(looked: Survey) -> Iterator[Task]:
    """Yield what plugins' models must do before all maps are known."""
    objects = looked.sight.objects
    extra = "for instance worldweave[grounding]"
    for name in looked.pending:
        for source in maps_in(looked.prepared[name].map):
            if isinstance(source, Prompt):
                yield Task(
                    name="map",
                    what="maps from a prompt",
                    hook="worldweave_map",
                    otherwise="no plugin makes any; install one that implements "
                    f"worldweave_map, {extra}",
                )
            if isinstance(source, Salient) and objects.masks != FROM_LABELS:
                yield Task(
                    name="objects",
                    what="objects from a prompt",
                    hook="worldweave_objects",
                    otherwise="no plugin finds any; give labels, or install one that "
                    f"implements worldweave_objects, {extra}",
                )
            if isinstance(source, Salient) and objects.classifier != BY_RULE:
                yield Task(
                    name=f"foreground:{objects.classifier}",
                    what=f"classifier {objects.classifier!r}",
                    hook="worldweave_foreground",
                    otherwise=f"no plugin knows it; give {BY_RULE!r}, or install one "
                    f"that implements worldweave_foreground, {extra}",
                )


def _refused(name: str, prepared: Prepared, base: Base) -> list[str]:
    """Missing weights are shown in the plan; they do not keep it from being made."""
    return list(prepared.refused)


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
