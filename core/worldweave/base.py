"""What surrounds a frozen DiT: its autoencoder, its text encoder, its clips."""

# B batch, C channel, T frame, H W rows and columns, L text token

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs
import numpy as np
import numpy.typing as npt
from torch import Tensor

if TYPE_CHECKING:
    from worldweave.parallel.rows import Rows

Frames = npt.NDArray[np.uint8]
#: Clips from this seed on are held out: no training may use them.
HELD_OUT = 1_000_000


@runtime_checkable
class Autoencoder(Protocol):
    """Video to latent and back.

    A video is float (B, 3, T, H, W) in -1..1 with T = 1 + k * time_stride; its
    latent is (B, C, 1 + k, H / space_stride, W / space_stride) with a standard
    deviation of about 0.5, the sigma_data of the diffusion.
    """

    time_stride: int
    space_stride: int

    def encode(self, video: Tensor) -> Tensor:
        """Return the latent of *video*."""
        ...

    def encode_hint(self, control: Tensor) -> Tensor:
        """Return the hint of a control video; may have channels of its own."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Return the video of *latent*, float, not clamped."""
        ...


@runtime_checkable
class SharesRows(Protocol):
    """What an `Autoencoder` may have beside, for many GPUs: its rows can be shared.

    An autoencoder without it works on any number of ranks too: each computes all of it.
    """

    def on_rows(self, rows: Rows) -> Autoencoder:
        """Return the same autoencoder for one rank's rows of every picture.

        A video then has the H of this rank (`rows.held` times ``space_stride``), a
        latent its `rows.held` rows, and so have the results. All ranks encode or decode
        at once. What one needs of other rows, *rows* exchanges: `rows.with_halo` for a
        convolution, `rows.moments` for a norm over whole pictures, `rows.join` for
        attention. `worldweave.parallel.row_layers.sharing_rows` does so for a model of
        common layers. Parameters are shared with this one, which stays as it is.

        The results must be those of one process but for rounding; that is tried on a
        small picture before the first real one. Raise, with the reason,
        `worldweave.parallel.rows.CannotShareRows` where they would not be; then every
        rank computes all of it. This method itself exchanges nothing.
        """
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Prompt to text tokens."""

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return (B, L, text_channels)."""
        ...


@attrs.frozen(kw_only=True)
class Clip:
    """A training clip: uint8 (T, H, W, 3), its prompt, and the controls its
    maker knows exactly (a renderer knows "depth" and "seg").

    ``truth``: what its maker knows beyond the controls, in units and shapes
    that it documents; metrics look there.
    """

    video: Frames = attrs.field(eq=False, repr=False)
    prompt: str
    controls: Mapping[str, Frames] = attrs.field(factory=dict, eq=False, repr=False)
    truth: Mapping[str, npt.NDArray[Any]] = attrs.field(
        factory=dict, eq=False, repr=False
    )


@runtime_checkable
class ClipMetric(Protocol):
    """Scores a video by what is known of the clip it should be like.

    name: how the score is called, short. summary: what it measures and how, in one
    line, tolerances included.
    """

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def higher_is_better(self) -> bool: ...

    def __call__(self, video: Frames, clip: Clip, /) -> float:
        """Return the score of a video uint8 (T, H, W, 3); NaN where there is none."""
        ...
