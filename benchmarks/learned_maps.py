"""Are learned maps better than sharing alike, and than the best modality alone?

Held-out clips of a base that makes its own, each with its prompt. First the error of
the predicted clean latent, over the variance of the latents, averaged over the noise
levels from 0.8 on; then videos generated from the same noise, scored by the metrics
of the modalities and of the base. Errors are standard errors over clips, those of
differences from pairs.

    python benchmarks/learned_maps.py --maps runs/maps/maps.safetensors
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worldweave.base import HELD_OUT, Clip, ClipMetric
from worldweave.checkpoints.map_file import load_map_net, modalities_of
from worldweave.diffusion.denoiser import Denoiser
from worldweave.diffusion.sampler import noise_levels, sample
from worldweave.evaluate.metrics import metrics_for
from worldweave.io.sizes import to_frames
from worldweave.loading import LoadedBase, Placement, load_base
from worldweave.model.fusion import normalize
from worldweave.model.map_net import MapNet
from worldweave.model.step import Step
from worldweave.model.weave import weave
from worldweave.train.branches import (
    Branches,
    ControlledClips,
    branch_files,
    load_branches,
)
from worldweave.train.maps import MakeMaps, uniform
from worldweave.train.monitors import GUIDED, SIGMAS
from worldweave.train.objective import Predict, predicted_clean
from worldweave.train.precision import autocast
from worldweave_registry import discover

FIRST = HELD_OUT + 300_000
AT_ONCE = 8
NONE = "no control"
Values = npt.NDArray[np.float64]
Hints = Mapping[str, Tensor]


@attrs.frozen(kw_only=True)
class Way:
    """One way to weave: which modalities, and whose maps.

    The mean is that of the learned maps over all clips and places: what is left of
    them without any sense of where.
    """

    names: tuple[str, ...]
    maps: Literal["uniform", "mean", "learned"] = "uniform"

    @property
    def name(self) -> str:
        """Such as "edge + seg, learned" or "all 6, uniform"."""
        who = " + ".join(self.names) or NONE
        who = who if len(self.names) < 4 else f"all {len(self.names)}"
        return who if len(self.names) < 2 else f"{who}, {self.maps}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=Path, required=True)
    parser.add_argument("--base", default="tiny-world")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--subsets", nargs="*", default=["edge,vis", "depth,seg,vis"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    begun = time.monotonic()
    bench = Bench.load(options.base, options.maps, options.clips)
    every = tuple(bench.branches.networks)
    subsets = [tuple(sorted(listed.split(","))) for listed in options.subsets]
    ways = [Way(names=()), *(Way(names=(name,)) for name in every)]
    ways += [Way(names=every, maps=maps) for maps in ("mean", "uniform", "learned")]
    more = [
        Way(names=names, maps=maps)
        for names in subsets
        for maps in ("mean", "uniform", "learned")
    ]
    print_shares(bench.shares(every))
    errors = bench.errors([*ways, *more])
    guided = {"x0 error": errors[:, :, np.array(SIGMAS) >= GUIDED].mean(-1)}
    print_table([*ways, *more], guided)
    print_levels([*ways, *more], errors.mean(1))
    scores = bench.scores(ways)
    print_table(ways, scores)
    alone = range(1, 1 + len(every))
    lower = {"x0 error": False, **bench.higher_is_better}
    everything = {"x0 error": guided["x0 error"][: len(ways)], **scores}
    print_differences(ways, everything, alone, lower)
    print(f"\n{time.monotonic() - begun:.0f} s, {options.clips} clips from {FIRST} on")
    if options.out is not None:
        record = {
            "clips": options.clips,
            "ways": [way.name for way in [*ways, *more]],
            "sigmas": SIGMAS,
            "x0_errors": errors.tolist(),
            "scores": {name: rows.tolist() for name, rows in scores.items()},
        }
        options.out.write_text(json.dumps(record) + "\n")


@attrs.frozen(kw_only=True, eq=False)
class Bench:
    """A base, its branches, learned maps, and held-out clips with their controls."""

    base: LoadedBase
    branches: Branches
    net: MapNet
    clips: Sequence[Clip]
    data: ControlledClips
    metrics: Mapping[str, ClipMetric]
    _shares: dict[tuple[str, ...], dict[str, float]] = attrs.field(
        factory=dict, init=False
    )

    @classmethod
    def load(cls, name: str, path: Path, count: int) -> Bench:
        """Read everything from disk and make the clips."""
        catalog = discover()
        description = catalog.find_base(name)
        place = Placement(device=torch.device("cpu"), dtype=torch.float32)
        base = load_base(description, place, hook=catalog.hook)
        names = modalities_of(path, base=name)
        net = load_map_net(
            path,
            base.config,
            base=name,
            wanted=names,
            device=place.device,
            dtype=place.dtype,
        )
        branches = load_branches(catalog, base, branch_files(catalog, name, names))
        if description.clips is None:
            raise SystemExit(f"base {name!r} makes no clips to measure on")
        clips = list(description.clips.load()(FIRST, count))
        return cls(
            base=base,
            branches=branches,
            net=net,
            clips=clips,
            data=ControlledClips(clips, base.autoencoder, branches.controls),
            metrics=metrics_for(description, [catalog.find(n) for n in names]),
        )

    @property
    def higher_is_better(self) -> dict[str, bool]:
        """Of each metric, by its name."""
        return {m.name: m.higher_is_better for m in self.metrics.values()}

    @torch.no_grad()
    def shares(self, names: tuple[str, ...]) -> dict[str, float]:
        """Return the mean of the learned map of each of *names*, woven together."""
        if names not in self._shares:
            values = self.net(self.data.hints(range(len(self.clips)), names))
            means = {name: float(each.mean()) for name, each in values.items()}
            self._shares[names] = means
        return self._shares[names]

    @torch.no_grad()
    def errors(self, ways: Sequence[Way]) -> Values:
        """Return x0 errors over the variance, (ways, clips, noise levels)."""
        every = self.data.clips.latents(range(len(self.clips)))
        noise = torch.randn(every.shape, generator=torch.Generator().manual_seed(1))
        found = np.zeros((len(ways), len(every), len(SIGMAS)))
        for part, hints, text in self._parts():
            clean = every[list(part)]
            for level, sigma in enumerate(SIGMAS):
                noisy = clean + sigma * noise[list(part)]
                once = _Once(self, hints)
                for number, way in enumerate(ways):
                    predict = once.under(self._maps(way, hints))
                    with autocast():
                        x0 = predicted_clean(
                            predict, noisy, sigma, text, self.base.description.fps
                        )
                    error = (x0 - clean).square().flatten(1).mean(1) / every.var()
                    found[number, list(part), level] = error
        return found

    @torch.no_grad()
    def scores(self, ways: Sequence[Way]) -> dict[str, Values]:
        """Generate every clip in every way; return (ways, clips) by metric."""
        found = {
            metric.name: np.full((len(ways), len(self.clips)), np.nan)
            for metric in self.metrics.values()
        }
        for part, hints, text in self._parts():
            for number, way in enumerate(ways):
                latents = self._generate(way, hints, text, part)
                for index, latent in zip(part, latents, strict=True):
                    video = to_frames(self.base.autoencoder.decode(latent[None]))
                    for metric in self.metrics.values():
                        score = metric(video, self.clips[index])
                        found[metric.name][number, index] = score
            print(f"generated {part[-1] + 1} of {len(self.clips)} clips", flush=True)
        return found

    def _parts(self) -> list[tuple[range, Hints, Tensor]]:
        parts: list[tuple[range, Hints, Tensor]] = []
        for start in range(0, len(self.clips), AT_ONCE):
            part = range(start, min(start + AT_ONCE, len(self.clips)))
            prompts = self.data.clips.prompts_of(part)
            hints = self.data.hints(part, self.branches.networks)
            parts.append((part, hints, self.base.text_encoder.encode(prompts)))
        return parts

    def _maps(self, way: Way, hints: Hints) -> dict[str, Tensor]:
        """Return the normalised maps of *way* (1 or B, t, h, w) by name."""
        if not way.names:
            return {}
        make: MakeMaps = self.net if way.maps == "learned" else uniform(self.base)
        values = dict(make({name: hints[name] for name in way.names}))
        if way.maps == "mean":
            for name, share in self.shares(way.names).items():
                values[name] = values[name] * share
        ready = normalize([values[name] for name in way.names])
        return dict(zip(way.names, ready, strict=True))

    def _generate(self, way: Way, hints: Hints, text: Tensor, part: range) -> Tensor:
        maps = self._maps(way, hints)
        branches = {name: self.branches.networks[name] for name in way.names}
        chosen = {name: hints[name] for name in way.names}
        fps = self.base.description.fps

        def network(latent: Tensor, c_noise: Tensor, words: Tensor) -> Tensor:
            mask = torch.zeros_like(latent[:, :1])
            step = Step(c_noise=c_noise, text=words, fps=fps, condition_mask=mask)
            with autocast():
                return weave(self.base.dit, branches, latent, step, chosen, maps)

        nothing = self.base.text_encoder.encode([""] * len(part))
        levels = noise_levels(self.base.description.steps)
        shape = self.data.clips.latents(part).shape[1:]
        noise = torch.stack(
            [
                torch.randn(shape, generator=torch.Generator().manual_seed(i))
                for i in part
            ]
        )
        predict = Denoiser(
            network=network,
            text=text,
            negative_text=nothing,
            guidance=self.base.description.guidance,
        )
        return sample(predict, noise * levels[0].float(), levels)


class _Once:
    """One noisy latent under different maps: branches do not see maps, so run once."""

    def __init__(self, bench: Bench, hints: Hints) -> None:
        self.bench = bench
        self.hints = hints
        self.residuals: dict[str, list[Tensor]] = {}

    def under(self, maps: Hints) -> Predict:
        """Return what predicts under *maps*."""

        def predict(latent: Tensor, step: Step) -> Tensor:
            for name in maps:
                if name not in self.residuals:
                    branch = self.bench.branches.networks[name]
                    self.residuals[name] = branch(latent, step, self.hints[name])
            chosen = [self.residuals[name] for name in maps]
            out: Tensor = self.bench.base.dit(latent, step, chosen, [*maps.values()])
            return out

        return predict


def print_shares(shares: Mapping[str, float]) -> None:
    """Print how the learned maps share one among all modalities."""
    print("| modality | mean of the learned map, normalised |\n|---|---|")
    for name, share in shares.items():
        print(f"| {name} | {share:.3f} |")


def print_levels(ways: Sequence[Way], errors: Values) -> None:
    """Print mean x0 errors by noise level, (ways, levels)."""
    print(f"\n| x0 error, sigma | {' | '.join(f'{s:g}' for s in SIGMAS)} |")
    print(f"|---|{'---|' * len(SIGMAS)}")
    for way, row in zip(ways, errors, strict=True):
        print(f"| {way.name} | {' | '.join(f'{e:.4f}' for e in row)} |")


def print_table(ways: Sequence[Way], scores: Mapping[str, Values]) -> None:
    """Print means and standard errors, a row for each way."""
    print(f"\n| maps | {' | '.join(scores)} |\n|---|{'---|' * len(scores)}")
    for number, way in enumerate(ways):
        cells = [told(rows[number]) for rows in scores.values()]
        print(f"| {way.name} | {' | '.join(cells)} |", flush=True)


def print_differences(
    ways: Sequence[Way],
    scores: Mapping[str, Values],
    alone: range,
    higher_is_better: Mapping[str, bool],
) -> None:
    """Print learned less uniform, less their mean, and less the best alone, by pairs.

    The last three ways are the mean, uniform and learned.
    """
    print("\n| learned less | is better | uniform | their mean | best alone | which |")
    print("|---|---|---|---|---|---|")
    for name, rows in scores.items():
        sign = 1.0 if higher_is_better[name] else -1.0
        means = [sign * float(np.nanmean(rows[number])) for number in alone]
        best = alone[int(np.argmax(means))]
        less = [told(rows[-1] - rows[n], sign=True) for n in (-2, -3, best)]
        arrow = "higher" if sign > 0 else "lower"
        print(f"| {name} | {arrow} | {' | '.join(less)} | {ways[best].name} |")


def told(values: Values, *, sign: bool = False) -> str:
    """Return the mean and its standard error over the clips that have a value."""
    known = values[~np.isnan(values)]
    error = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else 0.0
    return f"{known.mean():{'+' if sign else ''}.4f} ± {error:.4f}"


if __name__ == "__main__":
    main()
