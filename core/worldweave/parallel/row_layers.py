"""Layers of torch that work on a rank's rows of a picture, and models made of them."""

# B batch, C channel, n rows of this rank, W columns; more axes may stand between

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldweave.parallel.rows import CannotShareRows, Edge, Rows
from worldweave.parallel.view import view_of

M = TypeVar("M", bound=nn.Module)
Make = Callable[..., "nn.Module | None"]
"""What stands for a module, given it and the `Rows`; None: a view of it."""
Layers = Mapping["type[nn.Module]", "Make | None"]
"""By exact class, how rows are shared. None: its own code keeps every row apart from
the others, or does only what its children do, which are looked at in turn."""


def sharing_rows(module: M, rows: Rows, layers: Layers) -> M:
    """Return a view of *module* that maps this rank's rows to this rank's rows.

    layers: all classes in it, see `LAYERS` for those of torch. *module* itself is not
    changed. Raise CannotShareRows where there is another class, or a layer whose rows
    cannot be shared.
    """

    def swap(path: str, found: nn.Module) -> nn.Module | None:
        kind, where = type(found), path or "the model"
        if kind not in layers:
            raise CannotShareRows(
                f"{where} is a {kind.__module__}.{kind.__qualname__}, and how to share "
                "the rows of that is not known"
            )
        make = layers[kind]
        try:
            return None if make is None else make(found, rows)
        except CannotShareRows as why:
            raise CannotShareRows(f"{where}: {why}") from why

    try:
        return view_of(module, swap)
    except ValueError as why:
        raise CannotShareRows(str(why)) from why


class WithHalo(nn.Module):
    """A layer after which there are as many rows, of more, as there were before."""

    def __init__(
        self,
        layer: nn.Module,
        rows: Rows,
        halo: tuple[int, int],
        *,
        stride: int = 1,
        edge: Edge = "zeros",
    ) -> None:
        """*halo*: rows above and below that *layer* needs beside a rank's own.

        stride: the rows that become one.
        """
        super().__init__()
        self.layer = layer
        self.rows = rows
        self.halo = halo
        self.stride = stride
        self.edge: Edge = edge

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., n, W) to (..., n / stride, W)."""
        if self.rows.scale(x) % self.stride:
            raise ValueError(
                f"a latent position has {self.rows.scale(x)} rows here, no multiple of "
                f"the stride {self.stride}; it would look at others' rows"
            )
        out: Tensor = self.layer(self.rows.with_halo(x, *self.halo, self.edge))
        return out


class Joined(nn.Module):
    """A layer whose result every rank has whole: keys and values of attention, say."""

    def __init__(self, layer: nn.Module, rows: Rows) -> None:
        super().__init__()
        self.layer = layer
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., n, W) to (..., H, W)."""
        return self.rows.join(self.layer(x))


class GroupNormOfRows(nn.Module):
    """`torch.nn.GroupNorm` with the statistics of all ranks' rows."""

    def __init__(self, norm: nn.GroupNorm, rows: Rows) -> None:
        super().__init__()
        self.norm = norm
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ..., n, W) to the same; statistics over all but B and groups."""
        norm = self.norm
        wide = x if x.dtype == torch.float64 else x.float()
        wide = wide.reshape(len(x), norm.num_groups, -1, *x.shape[2:])
        mean, variance = self.rows.moments(wide, range(2, wide.ndim))
        scale = (variance + norm.eps).rsqrt()
        by_channel = (1, *wide.shape[1:3], *[1] * (wide.ndim - 3))
        if norm.weight is not None:
            scale = scale * norm.weight.double().view(by_channel)
        shift = -mean * scale
        if norm.bias is not None:
            shift = shift + norm.bias.double().view(by_channel)
        out = torch.addcmul(shift.to(wide.dtype), wide, scale.to(wide.dtype))
        return out.flatten(1, 2).to(x.dtype)


class ConvOfRows(nn.Module):
    """A convolution without padding of its own along the rows, for `WithHalo`."""

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ..., above + n + below, W) to (B, D, ..., n / stride, W)."""
        conv = self.conv
        padding = [*_numbers(conv.padding)]
        padding[-2] = 0
        if conv.padding_mode != "zeros":
            both = [size for size in reversed(padding) for _ in range(2)]
            x, padding = F.pad(x, both, mode=conv.padding_mode), [0] * len(padding)
        run: Callable[..., Tensor] = (
            F.conv2d if isinstance(conv, nn.Conv2d) else F.conv3d
        )
        return run(
            x, conv.weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups
        )


def convolution(conv: nn.Conv2d | nn.Conv3d, rows: Rows) -> nn.Module | None:
    """Return *conv* with rows of the neighbours where it looks at any."""
    padding = _numbers(conv.padding)[-2]
    reach = conv.dilation[-2] * (conv.kernel_size[-2] - 1)
    if reach == padding == 0:
        return None
    halo = halo_of(reach, conv.stride[-2], padding)
    edge: Edge = conv.padding_mode
    inner = ConvOfRows(view_of(conv))
    return WithHalo(inner, rows, halo, stride=conv.stride[-2], edge=edge)


def halo_of(reach: int, stride: int, padding: int) -> tuple[int, int]:
    """Return the rows above and below that a convolution looks at beside its own.

    reach: rows between the first and the last tap. Raise CannotShareRows unless every
    *stride* rows become one, as then a rank's result is its share.
    """
    if not -stride <= 2 * padding - reach - 1 < 0:
        raise CannotShareRows(
            f"a convolution over {reach + 1} rows with stride {stride} and padding "
            f"{padding} does not make one row of {stride}"
        )
    return padding, max(0, reach - padding - stride + 1)


def _numbers(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(padding, str):
        raise CannotShareRows(
            f"a convolution has the padding {padding!r}; one of numbers is needed"
        )
    return padding


LAYERS: Layers = {
    nn.Conv2d: convolution,
    nn.Conv3d: convolution,
    nn.GroupNorm: GroupNormOfRows,
    **dict.fromkeys(
        [
            nn.Dropout, nn.GELU, nn.Identity, nn.LeakyReLU, nn.ModuleDict,
            nn.ModuleList, nn.ReLU, nn.Sequential, nn.Sigmoid, nn.SiLU, nn.Tanh,
        ]
    ),
}  # fmt: skip
"""Layers of torch for pictures (B, C, ..., H, W), and what only holds layers."""
