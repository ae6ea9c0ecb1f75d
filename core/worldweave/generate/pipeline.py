"""The main job: load a base with its branches, and make a controlled video."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from worldweave.base import Frames
from worldweave.blame import NamedBranch, misfits_named
from worldweave.checkpoints.map_file import load_map_net
from worldweave.diffusion.sampler import SIGMA_MAX
from worldweave.generate.active import Active, Switches
from worldweave.generate.call import request_of_call
from worldweave.generate.denoise import ChunkInput, denoise
from worldweave.generate.effective import per_frame
from worldweave.generate.generation import Generation, Tick
from worldweave.io import sizes
from worldweave.io.files import tree_sha256
from worldweave.loading import LoadedBase, load_branch, map_file
from worldweave.model.map_net import MapNet
from worldweave.request.check import Prepared, branch_weights, raise_all
from worldweave.request.chunks import Chunk, cut
from worldweave.request.fingerprint import input_hashes
from worldweave.request.maps.tokens import on_tokens
from worldweave.request.plan import Plan, make_plan
from worldweave.request.sources import MapValue
from worldweave.request.spec import Request, VideoValue
from worldweave.request.walk import anchored
from worldweave_registry import (
    Base,
    Catalog,
    resolve,
)


class Pipeline:
    """A base in memory with the branches that are switched on.

    Threads may share it. One generation runs at a time; what is enabled or disabled
    meanwhile takes effect after it, and the logger "worldweave" says so.
    """

    def __init__(self, base: LoadedBase, catalog: Catalog) -> None:
        self.base = base
        self.catalog = catalog
        self._switches = Switches(base.placement.device)
        self.digests: dict[Path, str] = {}

    def on(self, base: LoadedBase) -> Pipeline:
        """Return a pipeline on *base* that has the branches of this one.

        Both share them: what is enabled on one is enabled on the other.
        """
        other = Pipeline(base, self.catalog)
        other._switches, other.digests = self._switches, self.digests
        return other

    @property
    def active(self) -> dict[str, Active]:
        """What is enabled now, by name."""
        return self._switches.active

    def enable(self, name: str, *, weights: str | Path | None = None) -> None:
        """Load the branch of modality *name*; the base stays as it is.

        *weights* is a branch checkpoint other than the plugin's own. It is read at
        once, and switched on between generations. Raise WeightsError where none fit
        this base; then all is as before.
        """
        modality = self.catalog.find(name)
        self._switches.refuse_twice(name, modality)
        own = self.base.description.name
        path = (
            Path(weights)
            if weights is not None
            else resolve(branch_weights(modality, own), self.catalog.hook)
        )
        branch = load_branch(modality, self.base.config, self.base.placement, path)
        self.digests.pop(path, None)
        self._switches.on(
            name,
            Active(
                modality=modality,
                branch=branch,
                file=path,
                is_users_file=weights is not None,
            ),
        )

    def disable(self, name: str) -> None:
        """Free the branch of modality *name*; the base stays as it is."""
        self._switches.off(name)

    def generate(
        self,
        prompt: str = "",
        *,
        video: VideoValue | Path | None = None,
        maps: Mapping[str, MapValue | Path] | None = None,
        controls: Mapping[str, VideoValue | Path] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        progress: Callable[[Tick], None] | None = None,
        **settings: Any,
    ) -> Generation:
        """Make a video of *prompt* that follows *video* as far as *maps* say.

        video: a file or uint8 frames (T, H, W, 3). maps: per modality a number in
        0..1, a file, or an array; an enabled modality without one has its default.
        controls: ready control videos. options: preprocessor options. settings:
        any other field of `Request` (seed, steps, guidance, ...).
        """
        with self._switches.generation():
            request = request_of_call(
                self.base.description.name,
                self.active,
                prompt,
                video,
                maps,
                controls,
                options,
                {"compat": self.base.compat, **settings},
            )
            return self.run(request, progress=progress)

    def run(
        self, request: Request, *, progress: Callable[[Tick], None] | None = None
    ) -> Generation:
        """Make the video *request* asks for.

        Raise Problems naming everything that is wrong with it.
        """
        with self._switches.generation():
            plan = self.base.executor.once(
                lambda: make_plan(
                    request,
                    self.catalog,
                    self._enabled_problems,
                    also=self._base_problems(request),
                )
            )
            return self.follow(plan, progress=progress)

    def follow(
        self, plan: Plan, *, progress: Callable[[Tick], None] | None = None
    ) -> Generation:
        """Make the video of *plan*; raise Problems unless its branches are enabled.

        progress: called at every step. What it enables or disables takes effect
        afterwards; it must not wait for another thread that does.
        """
        with self._switches.generation():
            raise_all(
                [
                    problem
                    for name, each in plan.prepared.items()
                    for problem in self._enabled_problems(name, each, plan.base)
                ]
            )
            return self._made(plan, progress)

    def _made(self, plan: Plan, progress: Callable[[Tick], None] | None) -> Generation:
        # A function of its own: when it returns, nothing holds a branch any more that
        # was disabled meanwhile.
        with torch.inference_mode():
            # Now: files and arrays may be others when the result is saved.
            request = anchored(self._with_weights(plan), Path.cwd())
            weights = self.hashes(plan)
            # Nobody else writes a manifest, or need have the files.
            inputs = (
                input_hashes(request, _known(request, weights))
                if self.base.executor.is_first
                else {}
            )
            begun = time.perf_counter()
            base = self.base.description
            found = {name: self.active[name] for name in plan.prepared}
            running = {
                n: NamedBranch(n, a.modality, a.branch) for n, a in found.items()
            }
            modalities = {name: each.modality for name, each in found.items()}
            chunks = cut(plan.frames, base.chunk_frames, plan.request.overlap)
            steps = plan.request.steps or base.steps
            learned = self._learned(plan)
            text = self._encode_prompts(plan.request)
            made: list[Frames] = []
            effective: list[dict[str, Tensor]] = []
            for chunk in chunks:

                def tick(step: int, chunk: Chunk = chunk) -> None:
                    if progress is not None:
                        progress(
                            Tick(
                                chunk=chunk.index + 1,
                                chunks=len(chunks),
                                step=step,
                                steps=steps + 1,
                            )
                        )

                given = self._chunk_input(plan, chunk, made, steps, text, learned)
                with misfits_named(modalities):
                    output = denoise(self.base, running, given, tick)
                made.append(output.frames[chunk.known :])
                effective.append(output.effective)
            return Generation(
                plan=plan,
                request=request,
                inputs=inputs,
                frames=np.concatenate(made)[: plan.frames],
                effective=per_frame(effective, chunks, plan.grid, plan.frames),
                chunk_starts=tuple(chunk.start for chunk in chunks),
                weights=weights,
                device=self.base.placement.device.type,
                dtype=str(self.base.placement.dtype).removeprefix("torch."),
                steps=steps,
                guidance=self._guidance(plan.request),
                seconds=time.perf_counter() - begun,
                layout=self.base.executor.layout,
            )

    def _base_problems(self, request: Request) -> list[str]:
        """Return how *request* asks for another base than the one in memory."""
        problems = []
        if request.base != self.base.description.name:
            problems.append(
                f"the request is for base {request.base!r} but "
                f"{self.base.description.name!r} is loaded; load the other"
            )
        if request.compat != self.base.compat:
            problems.append(
                f"the request has compat {request.compat!r} but the base is loaded "
                f"with {self.base.compat!r}; give load and the request the same"
            )
        return problems

    def _enabled_problems(self, name: str, prepared: Prepared, base: Base) -> list[str]:
        """Return why the branch in memory is not the one asked for, if so."""
        if name not in self.active:
            return [f"{name!r} is not enabled; call enable({name!r}) first"]
        asked, file = prepared.control.weights, self.active[name].file
        if asked is not None and Path(asked).absolute() != file.absolute():
            return [
                f"the request has weights {asked} for {name!r} but {file} is enabled; "
                f"call enable({name!r}, weights=...) first"
            ]
        return []

    def _with_weights(self, plan: Plan) -> Request:
        """Return the request with every branch named that is not its plugin's own.

        So that a manifest knows of what was enabled from Python.
        """
        controls = dict(plan.request.controls)
        for name in plan.prepared:
            if self.active[name].is_users_file:
                file = self.active[name].file.absolute()
                controls[name] = attrs.evolve(controls[name], weights=file)
        return attrs.evolve(plan.request, controls=controls)

    def _encode_prompts(self, request: Request) -> tuple[Tensor, Tensor | None]:
        """Return the text tokens of both prompts, once for all chunks.

        The negative one is None where guidance does not ask for it.
        """
        encode = self.base.text_encoder.encode
        text = encode([request.prompt])
        if self._guidance(request) == 0:
            return text, None
        return text, encode([request.negative_prompt])

    def _guidance(self, request: Request) -> float:
        default = self.base.description.guidance
        return default if request.guidance is None else request.guidance

    def _learned(self, plan: Plan) -> dict[str, tuple[MapNet, float]]:
        """Return the network and the factor of each learned map, read once a file.

        They are small, and a file may have been trained on since: none is kept.
        """
        nets: dict[Path, MapNet] = {}
        found = {}
        for name, source in plan.learned.items():
            file = map_file(self.base.description, source.learned, self.catalog.hook)
            wanted = [n for n in plan.learned if plan.learned[n] == source]
            if file not in nets:
                nets[file] = load_map_net(
                    file,
                    self.base.config,
                    base=self.base.description.name,
                    wanted=wanted,
                    device=self.base.placement.device,
                    dtype=self.base.placement.dtype,
                )
                self.digests.pop(file, None)
            found[name] = (nets[file], source.scale)
        return found

    def _chunk_input(
        self,
        plan: Plan,
        chunk: Chunk,
        made: list[Frames],
        steps: int,
        text: tuple[Tensor, Tensor | None],
        learned: dict[str, tuple[MapNet, float]] | None = None,
    ) -> ChunkInput:
        base, request = self.base.description, plan.request
        end = chunk.start + base.chunk_frames

        def part(frames: Frames) -> Frames:
            return sizes.fit_length(frames[chunk.start : end], base.chunk_frames)

        maps = on_tokens(
            plan.maps,
            chunk.start,
            plan.frames,
            plan.grid,
            released=request.compat is not None,
        )
        source = plan.source if request.sigma_max < SIGMA_MAX else None
        return ChunkInput(
            text=text[0],
            negative_text=text[1],
            controls={n: part(control) for n, control in plan.controls.items()},
            maps=maps,
            learned=learned or {},
            schedules=plan.schedules,
            size=plan.size,
            known=_last(made, chunk.known),
            start=None if source is None else part(source),
            steps=steps,
            guidance=self._guidance(request),
            sigma_max=request.sigma_max,
            seed=request.seed + chunk.index,
            fps=request.fps or base.fps,
            released=request.compat is not None,
        )

    def hashes(self, plan: Plan) -> dict[str, str]:
        """Return the SHA-256 of all weights that were used, each computed once."""
        files = {f"base {part}": path for part, path in self.base.files.items()}
        files |= {f"branch {name}": self.active[name].file for name in plan.prepared}
        for name, source in plan.learned.items():
            files[f"maps {name}"] = map_file(
                self.base.description, source.learned, self.catalog.hook
            )
        for path in files.values():
            if path not in self.digests:
                self.digests[path] = tree_sha256(path)
        return {name: self.digests[path] for name, path in files.items()}


def _known(request: Request, weights: Mapping[str, str]) -> dict[str, str | None]:
    """Return the hashes of a request's inputs that need no reading any more.

    Of a modality that does not run neither weights nor control are read.
    """
    known: dict[str, str | None] = {}
    for name in request.controls:
        digest = weights.get(f"branch {name}")
        known[f"weights {name}"] = digest
        if digest is None:
            known[f"control {name}"] = None
    return known


def _last(made: list[Frames], count: int) -> Frames | None:
    """Return the last *count* frames made so far, None for none."""
    # No piece is empty, so that many pieces are enough.
    return np.concatenate(made[-count:])[-count:] if count else None
