"""What a plugin says about a base: a frozen DiT and what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from worldweave_registry import fields
from worldweave_registry.modality import (
    Lazy,
    Weights,
    as_weights,
    lazies,
    lazy,
    optional_lazy,
)


@attrs.frozen(kw_only=True)
class Base:
    """Everything worldweave needs to know before it loads a base.

    Import paths may be given as plain text. Raises DescriptionError for a
    value that cannot be.
    """

    name: str = attrs.field(validator=fields.base_name)
    summary: str = attrs.field(validator=fields.line)
    license: str = attrs.field(validator=fields.line)
    config: Lazy = attrs.field(converter=lazy)
    """A DiTConfig, or a callable without arguments that returns one."""
    autoencoder: Lazy = attrs.field(converter=lazy)
    """A callable (weights: Path | None, *, device, dtype) -> Autoencoder."""
    text_encoder: Lazy = attrs.field(converter=lazy)
    """A callable (weights: Path | None, *, device, dtype) -> TextEncoder."""
    weights: tuple[Weights, ...] = attrs.field(
        default=(), converter=as_weights, validator=fields.each_is(Weights)
    )
    chunk_frames: int = attrs.field(validator=fields.positive_whole)
    """The frames the base makes at once."""
    sizes: tuple[tuple[int, int], ...] = attrs.field(
        converter=fields.as_sizes, validator=fields.sizes
    )
    """The (height, width) in pixels the base was trained for, best first."""
    fps: float = attrs.field(validator=fields.positive)
    strides: tuple[int, int] = attrs.field(
        default=(8, 8), converter=fields.as_strides, validator=fields.strides
    )
    """Of the autoencoder: frames per latent frame, pixels per latent position."""
    steps: int = attrs.field(default=35, validator=fields.positive_whole)
    """Denoising steps where a request names none."""
    guidance: float = attrs.field(default=5.0, validator=fields.not_negative)
    """Guidance where a request names none; c + guidance * (c - u)."""
    check_prompt: Lazy | None = attrs.field(default=None, converter=optional_lazy)
    """A callable (prompt) -> list of problems, quick and without weights."""
    recipe: Lazy | None = attrs.field(default=None, converter=optional_lazy)
    """A Recipe to train the base itself, where that can be done here."""
    clips: Lazy | None = attrs.field(default=None, converter=optional_lazy)
    """A callable (seed, count) that makes training clips without a download. One
    that also takes ``device`` is told where the training computes."""
    trainings: Mapping[str, Lazy] = attrs.field(
        factory=dict[str, Lazy], converter=lazies, validator=fields.training_names
    )
    """What else of the base can be trained: by the name `worldweave train` takes, a
    callable (worldweave.train.task.Setup) -> worldweave.train.task.Task."""
    metrics: Lazy | None = attrs.field(default=None, converter=optional_lazy)
    """A callable () -> Mapping[str, ClipMetric]: how well a video fits a clip, by the
    name of the modality each metric is for; a modality's own metric comes first. A
    name that is no modality is what else the base can tell of a video."""
    cost: Lazy | None = attrs.field(default=None, converter=optional_lazy)
    """A callable (frames, height, width) -> worldweave.forecast.cost.Parts: what the
    autoencoder and the text encoder will cost, without weights. None: not foretold."""
    foreground: Lazy | None = attrs.field(default=None, converter=optional_lazy)
    """A callable (clip) -> float32 (T, H, W) in 0..1: the foreground of a clip that
    the base has made itself."""
    metadata: Mapping[str, str] = attrs.field(
        factory=dict[str, str],
        converter=fields.as_metadata,
        validator=fields.text_to_text,
    )
