"""Many requests, one after the other: checked before, resumed after, none stops all."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import attrs
import torch

from worldweave.generate import manifest as manifests
from worldweave.generate.batch_done import Item, done_before, write_summary
from worldweave.generate.batch_jobs import Job
from worldweave.generate.generation import Tick
from worldweave.generate.load import load_for
from worldweave.generate.pipeline import Pipeline
from worldweave.loading import usable_device
from worldweave.request.check import base_problems, weights_problems
from worldweave.request.plan import Plan, make_plan
from worldweave.request.survey import survey
from worldweave.request.walk import inputs
from worldweave_registry import Catalog, Problems, WorldweaveError, one_line

SUMMARY = "summary.json"
#: Modalities that will run, or may, and the file of the branch each asks for.
Needs: TypeAlias = dict[str, Path | None]


@attrs.frozen(kw_only=True)
class Watch:
    """Who is told: of an item that stands otherwise than before, and of steps.

    Both also get the number of the item among those to be made, and how many these
    are; 0 and 0 for what needs not, or cannot, be made.
    """

    item: Callable[[Item, int, int], None]
    step: Callable[[str, int, int, Tick], None]


class Batch:
    """The jobs of one file, and the folder their videos go to.

    kept: files besides the inputs of the jobs that must not be written over, such as
    the one the jobs were read from.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        folder: Path,
        *,
        catalog: Catalog,
        source: str,
        kept: Iterable[Path] = (),
    ) -> None:
        self.jobs = {job.line: job for job in jobs}
        self.requests = {job.line: job.request for job in jobs if job.request}
        self.folder = folder
        self.catalog = catalog
        self.source = source
        self.items = {
            job.line: Item(line=job.line, name=job.name, problems=job.problems)
            for job in jobs
        }
        self._kept = {file.resolve(): f"file {file}" for file in kept}
        self._needs: dict[int, Needs] = {}
        self._bases: dict[str, list[str]] = {}

    def run(
        self,
        watch: Watch,
        *,
        again: bool = False,
        device: str | torch.device | None = None,
    ) -> list[Item]:
        """Make all videos that can be made, and return how each job stands.

        All jobs are checked before anything is loaded. What was done before is left
        as it is; what was then made from another request fails, or with *again* is
        replaced. The summary in the folder is always up to date.
        """
        place = usable_device(device)
        self._refuse_bad_summary()
        _make_folder(self.folder)
        for line, job in self.jobs.items():
            try:
                self._stands(self._looked_at(job, again))
            except Exception as error:
                self._stands(self._failed(line, error))
            if self.items[line].state != "waiting":
                watch.item(self.items[line], 0, 0)
        self._write()
        groups = self._groups()
        total = sum(map(len, groups))
        number = 0
        for lines in groups:
            pipeline: Pipeline | None = None
            for at, line in enumerate(lines):
                number += 1
                count = (number, total)
                left = [self._needs[later] for later in lines[at:]]
                pipeline = self._make(line, pipeline, left, count, watch, place)
                self._write()
                watch.item(self.items[line], *count)
        return list(self.items.values())

    def _groups(self) -> list[list[int]]:
        """Return the lines of the jobs to be made, those of one base together."""
        groups: dict[tuple[str, str | None], list[int]] = {}
        for line, item in self.items.items():
            if item.state == "waiting":
                request = self.requests[line]
                groups.setdefault((request.base, request.compat), []).append(line)
        return list(groups.values())

    def _looked_at(self, job: Job, again: bool) -> Item:
        """Return how *job* stands before anything is loaded.

        Raise WorldweaveError where it cannot be made.
        """
        item = self.items[job.line]
        if job.request is None:
            return attrs.evolve(item, state="failed")
        video = self._video(job.line)
        try:
            if done_before(video, job.request):
                return attrs.evolve(item, state="done before")
        except WorldweaveError:
            if not again:
                raise
        also = [
            *manifests.target_problems(video, job.request),
            *self._replaced(job.line),
            *self._missing(job.request.base),
        ]
        looked = survey(job.request, self.catalog, weights_problems, also=also)
        self._needs[job.line] = {
            name: _path(each.control.weights) for name, each in looked.prepared.items()
        }
        return item

    def _make(
        self,
        line: int,
        pipeline: Pipeline | None,
        left: list[Needs],
        count: tuple[int, int],
        watch: Watch,
        device: torch.device,
    ) -> Pipeline | None:
        """Make the video of *line*; return the pipeline, loaded if it was not.

        *left* is what this item and those after it need.
        """
        begun = time.perf_counter()
        item = self.items[line]
        try:
            plan = make_plan(self.requests[line], self.catalog, weights_problems)
            if pipeline is None:
                pipeline = load_for(plan, self.catalog, device=device)
            switch(pipeline, plan, left)
            made = pipeline.follow(
                plan, progress=lambda tick: watch.step(item.name, *count, tick)
            )
            made.save(self._video(line))
        except Exception as error:
            self._stands(self._failed(line, error))
        else:
            seconds = round(time.perf_counter() - begun, 3)
            self._stands(attrs.evolve(item, state="made", seconds=seconds))
        return pipeline

    def _failed(self, line: int, error: Exception) -> Item:
        """Return the item of *line* with every problem of *error*, by line and name.

        One that is no user's mistake is a fault of ours or a plugin's: the others
        shall be made all the same, but it is shown where it came from.
        """
        item = self.items[line]
        told: tuple[str, ...]
        if isinstance(error, WorldweaveError):
            told = error.problems if isinstance(error, Problems) else (str(error),)
        elif isinstance(error, OSError) and error.filename is not None:
            told = (f"{error.filename}: {error.strerror or error}; check the path",)
        else:
            traceback.print_exception(error)
            told = (f"a fault of worldweave or a plugin: {one_line(error)}",)
        where = f"{self.source}: line {line} ({item.name})"
        problems = tuple(f"{where}: {problem}" for problem in told)
        return attrs.evolve(item, state="failed", problems=problems)

    def _refuse_bad_summary(self) -> None:
        summary = self.folder / SUMMARY
        for line in self.requests:
            self._kept |= self._read_by(line)
        if summary.resolve() in self._kept:
            raise WorldweaveError(
                f"writing {summary} would replace the "
                f"{self._kept[summary.resolve()]}; choose another folder"
            )

    def _read_by(self, line: int) -> dict[Path, str]:
        """Return what the job of *line* reads, each file with what it is."""
        return {
            Path(name).resolve(): f"{what} of line {line}"
            for what, name in inputs(self.requests[line]).items()
        }

    def _replaced(self, line: int) -> list[str]:
        """Return which files that others read the results of *line* would replace."""
        written = manifests.files_of(self._video(line), self.requests[line].controls)
        kept = {p: w for p, w in self._kept.items() if not w.endswith(f"line {line}")}
        return [
            f"writing {file} would replace the {kept[file.resolve()]}; choose another "
            "folder"
            for file in written
            if file.resolve() in kept
        ]

    def _missing(self, base: str) -> list[str]:
        """Return which files of *base* are missing; their hashes are taken once."""
        if base not in self._bases:
            self._bases[base] = base_problems(base, self.catalog)
        return self._bases[base]

    def _video(self, line: int) -> Path:
        return self.folder / f"{self.jobs[line].name}.mp4"

    def _stands(self, item: Item) -> None:
        self.items[item.line] = item

    def _write(self) -> None:
        file = self.folder / SUMMARY
        write_summary(file, self.source, list(self.items.values()))


def switch(pipeline: Pipeline, plan: Plan, left: Iterable[Needs]) -> None:
    """Enable what *plan* needs; first disable what neither it nor *left* needs."""
    wanted = {name: _path(p.control.weights) for name, p in plan.prepared.items()}
    kept = {pair for needs in (wanted, *left) for pair in needs.items()}
    enabled: Needs = {
        name: active.file if active.is_users_file else None
        for name, active in pipeline.active.items()
    }
    for pair in enabled.items():
        if pair not in kept:
            pipeline.disable(pair[0])
    for pair in wanted.items():
        if pair not in enabled.items():
            pipeline.enable(pair[0], weights=pair[1])


def _path(file: str | None) -> Path | None:
    return None if file is None else Path(file)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldweaveError(
            f"cannot make the folder {folder}: {error.strerror}; choose another"
        ) from error
