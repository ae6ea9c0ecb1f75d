"""The Cosmos autoencoder on one rank's rows: what each layer of diffusers' asks for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from torch import Tensor, nn

from worldweave.parallel.row_layers import (
    LAYERS,
    Joined,
    WithHalo,
    halo_of,
    sharing_rows,
)
from worldweave.parallel.rows import CannotShareRows, Edge, Rows
from worldweave.parallel.view import view_of

HOME: Final = "diffusers.models.autoencoders.autoencoder_kl_cosmos"
EDGES: Final[dict[str, Edge]] = {
    "constant": "zeros",
    "replicate": "replicate",
    "reflect": "reflect",
    "circular": "circular",
}
LOCAL: Final = (
    "AutoencoderKLCosmos",
    "CosmosCausalGroupNorm",
    "CosmosConvProjection3d",
    "CosmosDecoder3d",
    "CosmosDownBlock3d",
    "CosmosEncoder3d",
    "CosmosMidBlock3d",
    "CosmosResnetBlock3d",
    "CosmosUpBlock3d",
    "CosmosUpsample3d",
)
"""Rows only meet in the layers inside these."""
SPATIAL: Final = "CosmosSpatialAttentionProcessor2_0"
TEMPORAL: Final = "CosmosTemporalAttentionProcessor2_0"


def on_rows(model: nn.Module, rows: Rows) -> nn.Module:
    """Return a view of *model*, an AutoencoderKLCosmos, for one rank's rows.

    Convolutions over space fetch the rows around a rank's own; norms, over whole
    frames, take the statistics of all ranks; attention over a frame has the keys and
    values of all ranks and the queries of this one; what runs over time is as it is.

    Raise CannotShareRows where diffusers has layers that are not known here, or known
    ones put together otherwise, as another version may.
    """
    return sharing_rows(model, rows, _layers())


def _layers() -> dict[type[nn.Module], Callable[..., nn.Module | None] | None]:
    """Return what to do with every class of diffusers' that is known here."""
    try:
        home = import_module(HOME)
    except ModuleNotFoundError as error:
        raise CannotShareRows(f"this version of diffusers has no {HOME}") from error
    known = {
        **dict.fromkeys(LOCAL),
        "CosmosCausalConv3d": _convolution,
        "CosmosCausalAttention": _attention,
        "CosmosDownsample3d": _downsampling,
        "CosmosPatchEmbed3d": _patches,
        "CosmosUnpatcher3d": _patches,
    }
    # One that this version lacks is in no model it makes.
    there = {getattr(home, name): known[name] for name in known if hasattr(home, name)}
    return {**LAYERS, **there}


def _convolution(conv: Any, rows: Rows) -> nn.Module | None:
    """Fetch the rows it would pad with; time and columns it goes on to pad itself."""
    left, right, top, bottom = conv.spatial_pad
    reach = conv.dilation[1] * (conv.kernel_size[1] - 1)
    if conv.padding[1] or top != bottom or conv.pad_mode not in EDGES:
        raise CannotShareRows(
            f"a convolution pads {conv.spatial_pad} and {conv.padding}, with "
            f"{conv.pad_mode!r}, which is not known here"
        )
    if reach == top == 0:
        return None
    stride = conv.stride[1]
    inner = view_of(conv)
    inner.spatial_pad = (left, right, 0, 0)
    return WithHalo(
        inner,
        rows,
        halo_of(reach, stride, top),
        stride=stride,
        edge=EDGES[conv.pad_mode],
    )


def _attention(attention: Any, rows: Rows) -> nn.Module:
    """Over space, let keys and values be those of whole frames; leave that over time.

    Its code gives a query for every position of this rank, and as many results.
    """
    kind = type(attention.processor).__name__
    if kind not in (SPATIAL, TEMPORAL):
        raise CannotShareRows(f"its attention is done by a {kind}, unknown here")
    layers = {**_layers(), type(attention): None}
    view: nn.Module = sharing_rows(attention, rows, layers)
    if kind == SPATIAL:
        for name in ("to_k", "to_v"):
            setattr(view, name, Joined(view.get_submodule(name), rows))
    return view


def _downsampling(layer: Any, rows: Rows) -> Any:
    """Put the row below where the layer has put zeros."""
    first = layer.conv1
    layers = {**_layers(), type(layer): None}
    if not layer.spatial_downsample:
        return sharing_rows(layer, rows, layers)
    if (
        first.kernel_size[1:] != (3, 3)
        or first.stride[1:] != (2, 2)
        or first.dilation[1] != 1
        or any(first.spatial_pad)
    ):
        raise CannotShareRows(
            f"{type(layer).__name__} shrinks with {first}, which is not known here"
        )

    def convolution(conv: Any, rows: Rows) -> nn.Module | None:
        if conv is first:
            return _FromRowBelow(view_of(conv), rows)
        return _convolution(conv, rows)

    return sharing_rows(layer, rows, {**layers, type(first): convolution})


class _FromRowBelow(nn.Module):
    """The shrinking convolution, given zeros as its last row, of the picture's edge."""

    def __init__(self, layer: nn.Module, rows: Rows) -> None:
        super().__init__()
        self.layer = layer
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T, n + 1, W + 1) to (B, C, T, n / 2, W / 2)."""
        out: Tensor = self.layer(self.rows.with_halo(x[..., :-1, :], 0, 1))
        return out


def _patches(layer: Any, rows: Rows) -> None:
    """Accept patches that are made of their own pixels alone."""
    taps = layer.wavelets.numel()
    if layer.patch_method not in ("haar", "rearrange") or taps != 2:
        raise CannotShareRows(
            f"{type(layer).__name__} makes patches by {layer.patch_method!r} with "
            f"{taps} taps; known are haar and rearrange with 2"
        )
    # Padding beyond a patch is cut off again: a step of 2 over an even number of rows.
