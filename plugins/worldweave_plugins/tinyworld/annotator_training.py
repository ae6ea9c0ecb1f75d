"""Train the annotator on rendered frames, spoilt the way a generator spoils them."""

# N frames kept, B frames of a step, H W pixels

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

from worldweave import Clip, Lazy, Recipe, WorldweaveError
from worldweave.checkpoints import store
from worldweave.train.precision import autocast
from worldweave.train.task import Setup, Task
from worldweave_plugins.tinyworld.annotator import Annotation, Annotator, show_depth
from worldweave_plugins.tinyworld.facts import PAINTS, TIMES_OF_DAY, facts
from worldweave_plugins.tinyworld.labels import CLASSES, class_index

RECIPE: Final = Recipe(steps=1250, learning_rate=3e-3, batch_size=16, warmup=50)
FRAMES_OF_A_CLIP: Final = 3
"""Neighbouring frames teach little more."""
DEPTH_SHARE: Final = 4.0
WORDS_SHARE: Final = 0.2
UNKNOWN: Final = 255
VERY_FAR: Final = 6e4
"""Metres: float16 holds it, and its root of the inverse is as good as 0."""
SPOILT: Final = 0.5
"""The share of frames that are spoilt."""


@attrs.frozen(kw_only=True, eq=False)
class Labelled:
    """Frames and what there is to see.

    pictures (B, 3, H, W) in -1..1; classes int64 (B, H, W) and what each pixel
    weighs, 1 on average; shown depth (B, H, W); paints int64 (B, H, W) and times
    int64 (B,), UNKNOWN where the prompt names none, and again what each weighs.
    """

    pictures: Tensor
    classes: Tensor
    class_weights: Tensor
    shown: Tensor
    paints: Tensor
    paint_weights: Tensor
    times: Tensor
    time_weights: Tensor

    def part(self, share: slice, device: torch.device) -> Labelled:
        """Return a share of the frames, on *device*."""
        values = attrs.asdict(self, recurse=False)
        return Labelled(**{k: v[share].to(device) for k, v in values.items()})


class LabelledFrames:
    """Frames in memory, from clips that carry their truth."""

    def __init__(self, clips: Iterable[Clip]) -> None:
        kept = [_frames_of(clip) for clip in clips]
        self.pictures, self.classes, self.depth, self.paints, self.times = (
            torch.from_numpy(np.concatenate(values))
            for values in zip(*kept, strict=True)
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def draw(self, size: int, generator: Generator) -> Labelled:
        """Return random frames, half of them mirrored."""
        index = torch.randint(len(self), (size,), generator=generator)
        mirrored = torch.rand(size, generator=generator) < 0.5

        def some(values: Tensor) -> Tensor:
            chosen = values[index]
            chosen[mirrored] = chosen[mirrored].flip(-1)
            return chosen

        classes, paints = some(self.classes).long(), some(self.paints).long()
        times = self.times[index].long()
        return Labelled(
            pictures=some(self.pictures).float() / 127.5 - 1,
            classes=classes,
            class_weights=_rarity(classes),
            shown=show_depth(some(self.depth).float()),
            paints=paints,
            paint_weights=_is_known(paints),
            times=times,
            time_weights=_is_known(times),
        )


def _frames_of(clip: Clip) -> tuple[NDArray[Any], ...]:
    """Return a few frames of *clip*: pictures, classes, depth, paints, times."""
    missing = {"classes", "depth"} - set(clip.truth)
    if missing:
        raise WorldweaveError(
            f"a clip lacks the truth {sorted(missing)}; the annotator learns from "
            "clips whose maker knows classes and depth"
        )
    spaced = np.linspace(0, len(clip.video) - 1, FRAMES_OF_A_CLIP)
    chosen = spaced.round().astype(int)
    told = facts(clip.prompt)
    classes = clip.truth["classes"][chosen]
    paints = np.full_like(classes, UNKNOWN)
    for name, colour in told.colours.items():
        paints[classes == class_index(name)] = PAINTS.index(colour)
    time = UNKNOWN if told.time is None else TIMES_OF_DAY.index(told.time)
    return (
        clip.video[chosen].transpose(0, 3, 1, 2),
        classes,
        np.minimum(clip.truth["depth"][chosen], VERY_FAR).astype(np.float16),
        paints,
        np.full(len(chosen), time, np.uint8),
    )


def build(setup: Setup) -> Task:
    """Return the training of ``worldweave train annotator --base tiny-world``."""
    recipe = setup.recipe(Lazy(f"{__name__}:RECIPE"), "the annotator")
    if setup.base.clips is None:
        raise WorldweaveError(f"base {setup.base.name!r} makes no training clips")
    clips = setup.make_clips(setup.base.clips, setup.seed, setup.clips)
    data = LabelledFrames(clips)
    torch.manual_seed(setup.seed)
    model = Annotator().to(setup.device)
    predict = setup.compiled(model)

    def loss(generator: Generator) -> Tensor:
        share = setup.share(recipe.batch_size)
        drawn = data.draw(recipe.batch_size, generator)
        drawn = attrs.evolve(drawn, pictures=spoil(drawn.pictures, generator))
        drawn = drawn.part(share, setup.device)
        with autocast(setup.device):
            annotation = predict(drawn.pictures)
        return annotation_loss(annotation, drawn)

    def save(folder: Path) -> list[Path]:
        tensors = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items()}
        path = folder / "annotator.safetensors"
        store.write(path, tensors, {"kind": "annotator", "base": setup.base.name})
        return [path]

    what = f"the annotator of {setup.base.name} from {setup.clips} clips"
    return Task(what=what, model=model, loss=loss, recipe=recipe, save=save)


def annotation_loss(annotation: Annotation, truth: Labelled) -> Tensor:
    """Return the weighted cross entropies and depth's L1, in float32.

    A plain mean over the frames: shares of a batch may be averaged.
    """
    classes = _entropy(annotation.classes, truth.classes, truth.class_weights)
    paints = _entropy(annotation.paints, truth.paints, truth.paint_weights)
    times = _entropy(annotation.times, truth.times, truth.time_weights)
    depth = F.l1_loss(annotation.shown.float(), truth.shown)
    return classes + WORDS_SHARE * (paints + times) + DEPTH_SHARE * depth


def _entropy(logits: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    entropy = F.cross_entropy(
        logits.float(), wanted, ignore_index=UNKNOWN, reduction="none"
    )
    return (entropy * weights).mean()


def _rarity(classes: Tensor) -> Tensor:
    """Weigh each pixel by the root of its class's rarity in the batch."""
    count = torch.bincount(classes.flatten(), minlength=len(CLASSES))
    weights = (classes.numel() / count.clamp_min(1)).sqrt().clamp(max=10.0)[classes]
    return weights / weights.mean()


def _is_known(wanted: Tensor) -> Tensor:
    """Weigh what is known 1, what is not 0; the mean becomes 1."""
    known = (wanted != UNKNOWN).float()
    return known / known.mean().clamp_min(1e-6)


def spoil(frames: Tensor, generator: Generator) -> Tensor:
    """Spoil some of the frames (B, 3, H, W): blur, blocks, noise, other light.

    What a small generator draws has all of these; a judge that only knows clean
    renders would take them for objects.
    """
    batch, _, height, width = frames.shape

    def strength(most: float) -> Tensor:
        values = torch.rand(batch, 1, 1, 1, generator=generator) * most
        return values * (torch.rand(batch, 1, 1, 1, generator=generator) < SPOILT)

    soft = F.avg_pool2d(F.pad(frames, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    out = torch.lerp(frames, soft, strength(1.0))
    for side in (4, 8):
        blocks = F.interpolate(F.avg_pool2d(out, side), scale_factor=float(side))
        out = torch.lerp(out, blocks, strength(0.6))
        patches = torch.randn(
            batch, 3, height // side, width // side, generator=generator
        )
        out = out + strength(0.12) * F.interpolate(patches, scale_factor=float(side))
    out = out + strength(0.12) * torch.randn(frames.shape, generator=generator)
    gain = 1 + strength(0.08) * torch.randn(batch, 3, 1, 1, generator=generator)
    return ((out + 1) * gain - 1).clamp(-1, 1)
