"""The main job: load a base with its branches, and make a controlled video."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from worldweave.base import Frames
from worldweave.generate.chunks import Chunk, cut
from worldweave.generate.denoise import ChunkInput, denoise
from worldweave.io import sizes
from worldweave.io.files import sha256
from worldweave.loading import LoadedBase, Placement, load_base, load_branch
from worldweave.model.branch import ControlBranch
from worldweave.request.check import (
    Prepared,
    branch_weights,
    examine,
    raise_all,
)
from worldweave.request.controls import Material, gather
from worldweave.request.maps import TokenGrid, Weights, is_dead, on_tokens, read_map
from worldweave.request.spec import Control, MapValue, Request, VideoValue
from worldweave_registry import (
    Catalog,
    Modality,
    UnknownModalityError,
    WorldweaveError,
    discover,
    resolve,
)


@attrs.frozen(kw_only=True)
class Tick:
    """Progress of a generation: evaluation *step* of *steps* in *chunk* of *chunks*."""

    chunk: int
    chunks: int
    step: int
    steps: int


@attrs.frozen(kw_only=True, eq=False)
class Generation:
    """A finished video and what it was made from."""

    request: Request
    frames: Frames
    fps: Fraction
    controls: dict[str, Frames]
    seen_size: tuple[int, int]
    weights: dict[str, str]
    device: str
    dtype: str

    def save(self, path: str | Path) -> Path:
        """Write the video, its controls beside it, and the manifest; return its path.

        out.mp4 gets out.edge.mp4 and so on, and out.manifest.json.
        """
        from worldweave.generate.manifest import save

        return save(self, Path(path))


@attrs.frozen(kw_only=True, eq=False)
class Active:
    """A modality switched on: its description, its branch, where it came from."""

    modality: Modality
    branch: ControlBranch
    file: Path


class Pipeline:
    """A base in memory with the branches that are switched on."""

    def __init__(self, base: LoadedBase, catalog: Catalog) -> None:
        self.base = base
        self.catalog = catalog
        self.active: dict[str, Active] = {}
        self._busy = threading.RLock()

    def enable(self, name: str, *, weights: str | Path | None = None) -> None:
        """Load the branch of modality *name*; the base stays as it is.

        *weights* is a branch checkpoint other than the plugin's own. Waits for a
        running generation. Raise WeightsError where none fit this base.
        """
        modality = self.catalog.find(name)
        with self._busy:
            path = (
                Path(weights)
                if weights is not None
                else resolve(
                    branch_weights(modality, self.base.description.name),
                    self.catalog.hook,
                )
            )
            branch = load_branch(modality, self.base.config, self.base.placement, path)
            self.active[name] = Active(modality=modality, branch=branch, file=path)

    def disable(self, name: str) -> None:
        """Free the branch of modality *name*; the base stays as it is."""
        with self._busy:
            if name not in self.active:
                enabled = ", ".join(self.active) or "none"
                raise UnknownModalityError(
                    f"{name!r} is not enabled; enabled: {enabled}"
                )
            del self.active[name]

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
        maps, controls, options = maps or {}, controls or {}, options or {}
        named = dict.fromkeys([*self.active, *maps, *controls, *options])
        request = Request(
            base=self.base.description.name,
            prompt=prompt,
            video=video,
            controls={
                name: Control(
                    map=maps.get(name),
                    video=controls.get(name),
                    options=dict(options.get(name, {})),
                )
                for name in named
            },
            **settings,
        )
        return self.run(request, progress=progress)

    def run(
        self, request: Request, *, progress: Callable[[Tick], None] | None = None
    ) -> Generation:
        """Make the video *request* asks for.

        Raise Problems naming everything that is wrong with it.
        """
        with self._busy:
            plan = make_plan(
                request,
                self.catalog,
                self._enabled_problems,
                also=self._base_problems(request),
            )
            return self.follow(plan, progress=progress)

    def follow(
        self, plan: Plan, *, progress: Callable[[Tick], None] | None = None
    ) -> Generation:
        """Make the video of *plan*, whose branches are all enabled."""
        with self._busy, torch.inference_mode():
            base = self.base.description
            running = {name: self.active[name].branch for name in plan.prepared}
            chunks = cut(plan.frames, base.chunk_frames, plan.request.overlap)
            steps = plan.request.steps or base.steps
            made: list[Frames] = []
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

                frames = denoise(
                    self.base,
                    running,
                    self._chunk_input(plan, chunk, made, steps),
                    tick,
                )
                made.append(frames[chunk.known :])
            return Generation(
                request=self._with_weights(plan),
                frames=np.concatenate(made)[: plan.frames],
                fps=plan.fps,
                controls=plan.controls,
                seen_size=plan.seen_size,
                weights=self._hashes(running),
                device=self.base.placement.device.type,
                dtype=str(self.base.placement.dtype).removeprefix("torch."),
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
        """Return the request with the branches named that are not a plugin's own."""
        controls = dict(plan.request.controls)
        for name in plan.prepared:
            if self.active[name].is_own_choice:
                controls[name] = attrs.evolve(
                    controls[name], weights=str(self.active[name].file)
                )
        return attrs.evolve(plan.request, controls=controls)

    def _chunk_input(
        self, plan: Plan, chunk: Chunk, made: list[Frames], steps: int
    ) -> ChunkInput:
        base, request = self.base.description, plan.request
        end = chunk.start + base.chunk_frames

        def part(frames: Frames) -> Frames:
            return sizes.fit_length(frames[chunk.start : end], base.chunk_frames)

        maps = on_tokens(
            plan.maps,
            chunk.start,
            plan.frames,
            token_grid(self.base, plan.size),
            released=request.compat is not None,
        )
        starts_from_source = request.sigma_max < SIGMA_MAX and plan.source is not None
        return ChunkInput(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            controls={n: part(control) for n, control in plan.controls.items()},
            maps=maps,
            size=plan.size,
            known=np.concatenate(made)[-chunk.known :] if chunk.known else None,
            start=part(plan.source) if starts_from_source else None,
            steps=steps,
            guidance=base.guidance if request.guidance is None else request.guidance,
            sigma_max=request.sigma_max,
            seed=request.seed + chunk.index,
            fps=request.fps or base.fps,
            released=request.compat is not None,
        )

    def _hashes(self, running: Iterable[str]) -> dict[str, str]:
        files = {f"base {part}": path for part, path in self.base.files.items()}
        files |= {f"branch {name}": self.active[name].file for name in running}
        return {name: sha256(path) for name, path in files.items()}


def load(
    base: str = "tiny-world",
    *,
    modalities: Iterable[str] = (),
    weights: Mapping[str, str | Path] | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    compat: str | None = None,
    catalog: Catalog | None = None,
) -> Pipeline:
    """Load *base* and the branches of *modalities*; nothing else is read from disk.

    weights: per modality a branch checkpoint other than the plugin's own. device:
    "cuda" where there is one. dtype: bfloat16 on a GPU, float32 elsewhere. compat:
    "cosmos-transfer1" computes rotary positions as the released code does.
    """
    catalog = discover() if catalog is None else catalog
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype is None:
        on_gpu = torch.device(device).type == "cuda"
        dtype = torch.bfloat16 if on_gpu else torch.float32
    loaded = load_base(
        catalog.find_base(base),
        Placement(device=torch.device(device), dtype=dtype),
        hook=catalog.hook,
        compat=compat,
    )
    pipeline = Pipeline(loaded, catalog)
    for name in modalities:
        pipeline.enable(name, weights=(weights or {}).get(name))
    return pipeline


def load_for(
    request: Request, catalog: Catalog | None = None, **where: Any
) -> Pipeline:
    """Load exactly what *request* needs, after naming everything wrong with it."""
    catalog = discover() if catalog is None else catalog
    _, prepared, problems = examine(request, catalog)
    raise_all(problems)
    return load(
        request.base,
        modalities=prepared,
        weights={
            name: each.control.weights
            for name, each in prepared.items()
            if each.control.weights is not None
        },
        compat=request.compat,
        catalog=catalog,
        **where,
    )


def read_maps(prepared: Mapping[str, Prepared], frames: int) -> dict[str, Weights]:
    """Return the maps that are not zero everywhere, in the order of the request.

    Raise Problems for every map that does not fit a video of *frames*.
    """
    maps: dict[str, Weights] = {}
    problems = []
    for name, each in prepared.items():
        value = each.control.map
        try:
            weights = read_map(name, 0.0 if value is None else value, frames)
        except WorldweaveError as error:
            problems.append(str(error))
            continue
        if not is_dead(weights):
            maps[name] = weights
    raise_all(problems)
    return maps


def token_grid(base: LoadedBase, size: tuple[int, int]) -> TokenGrid:
    """Return how a chunk of frames of *size* (H, W) falls into tokens of *base*."""
    stride = base.autoencoder.space_stride
    _, patch_h, patch_w = base.config.patch
    return TokenGrid(
        frames=base.description.chunk_frames,
        stride=base.autoencoder.time_stride,
        rows=size[0] // (stride * patch_h),
        columns=size[1] // (stride * patch_w),
    )
