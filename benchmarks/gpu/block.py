"""Stage 4: what is pointwise in a block, and a whole block, in each of its forms."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import worldweave_kernels as kernels
from gpu.record import Measured, Part, largest
from gpu.rows import measured_rows
from gpu.setting import Setting, timed
from worldweave.model import layers
from worldweave.model.config import DiTConfig
from worldweave_kernels import reference
from worldweave_kernels.agreement import TOLERANCE, relative_error
from worldweave_kernels.bench import chains
from worldweave_kernels.bench.measure import Call
from worldweave_kernels.bench.rank_block import EPS, RankBlock
from worldweave_kernels.bench.results import first_line

#: Tokens that a form is judged by: all of it is local to its token.
_JUDGED = 256


class Forms(NamedTuple):
    """One way to compute what is pointwise in a block."""

    gate: Callable[..., tuple[Tensor, Tensor]]
    pack: Callable[..., Any]
    norm: Callable[[Tensor, Tensor], Tensor]


class Unpacked:
    """q, k and v side by side, where the packed tensor of one rank is wanted.

    Plain torch has no reason to pack them, and is not charged for it.
    """

    def __init__(self, *qkv: Tensor) -> None:
        self.qkv = qkv

    def __getitem__(self, _: Any) -> Unpacked:
        return self

    def squeeze(self, _: Any) -> Unpacked:
        """Return itself, as indexing does: both leave out chunk and rank."""
        return self

    def unbind(self, _: int) -> tuple[Tensor, ...]:
        """Return q, k and v."""
        return self.qkv


def eager_gate(
    x: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    shift: Tensor,
    scale: Tensor,
    *,
    positions: Tensor | None = None,
    eps: float = EPS,
) -> tuple[Tensor, Tensor]:
    """Add, normalise and modulate, one operation after another."""
    if y is not None and gate is not None:
        x = x + gate * y
    if positions is not None:
        x = x + positions
    return x, chains.official_norm_modulate(x, shift, scale)


def eager_pack(*args: Any, world: int = 1, eps: float = EPS) -> Unpacked:
    """Normalise and rotate q and k, one operation after another."""
    return Unpacked(*(each[0] for each in chains.official_norm_rope(*args, world)))


def eager_norm(x: Tensor, weight: Tensor) -> Tensor:
    """Normalise in float32, step by step."""
    wide = x.float()
    scale = torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + EPS)
    return (wide * scale).to(x.dtype) * weight


def torch_norm(x: Tensor, weight: Tensor) -> Tensor:
    """Normalise by torch's own operation."""
    return F.rms_norm(x, x.shape[-1:], weight, EPS)


EAGER = Forms(eager_gate, eager_pack, eager_norm)
FUSED = Forms(
    kernels.gate_residual_norm_modulate, kernels.qk_norm_rope_pack, torch_norm
)
DEFINED = Forms(
    reference.gate_residual_norm_modulate, reference.qk_norm_rope_pack, torch_norm
)


def parts(setting: Setting) -> list[Part]:
    """Return the parts of the stage."""
    found = [
        Part(f"{op} {mode}", functools.partial(_operation, setting, op, mode))
        for op in ("norm_modulate", "gate_residual_norm_modulate", "qk_norm_rope_pack")
        for mode in ("forward", "backward")
    ]
    found.append(Part("pointwise", functools.partial(_pointwise, setting)))
    found.append(Part("block", functools.partial(_block, setting)))
    if not setting.is_toy:
        found.append(Part("block, compiled", functools.partial(_compiled, setting)))
    return found


def _operation(setting: Setting, op: str, mode: str) -> Iterator[Measured]:
    block = setting.block
    shape = {"L": block.tokens, "D": block.hidden}
    if op == "qk_norm_rope_pack":
        shape |= {"H": block.heads, "U": 1}
    yield from measured_rows(setting, op, mode, shape, f"{op}.{mode}")


def pointwise(forms: Forms, given: dict[str, Tensor]) -> list[Tensor]:
    """Return all that the pointwise part of a block makes, cross-attention included.

    Products and attentions are left out: what they would give is *given*.
    """
    shift, scale, gate = (given[name] for name in ("shift", "scale", "gate"))
    qkv = (given[name] for name in "qkv")
    norms = (given["q_weight"], given["k_weight"])
    x, first = forms.gate(
        given["x"], None, None, shift, scale, positions=given["positions"], eps=EPS
    )
    packed = forms.pack(*qkv, *norms, given["cos"], given["sin"], eps=EPS)
    x, second = forms.gate(x, given["update"], gate, shift, scale, eps=EPS)
    query = forms.norm(given["q"], given["q_weight"])
    x, third = forms.gate(x, given["update"], gate, shift, scale, eps=EPS)
    wide = F.gelu(given["wide"])
    out = x + gate * given["update"]
    return [first, *packed[0, 0].unbind(2), second, query, third, wide, out]


def _given(setting: Setting) -> dict[str, Tensor]:
    """Return random inputs; those of a token have the tokens in dimension 0 or 1."""
    shape = setting.block
    tokens, hidden, width = shape.tokens, shape.hidden, setting.head_width
    generator = torch.Generator(setting.device).manual_seed(0)

    def random(*size: int) -> Tensor:
        made = torch.randn(size, generator=generator, device=setting.device)
        return made.to(setting.dtype)

    angles = random(tokens, width // 2).float()
    heads = (1, tokens, shape.heads, width)
    return {
        "x": random(1, tokens, hidden),
        "update": random(1, tokens, hidden),
        "wide": random(1, tokens, shape.mlp_ratio * hidden),
        "positions": random(tokens, hidden),
        "q": random(*heads),
        "k": random(*heads),
        "v": random(*heads),
        "cos": angles.cos(),
        "sin": angles.sin(),
        "shift": random(1, 1, hidden),
        "scale": 0.3 * random(1, 1, hidden),
        "gate": random(1, 1, hidden),
        "q_weight": 1 + 0.1 * random(width),
        "k_weight": 1 + 0.1 * random(width),
    }


@torch.no_grad()
def _pointwise(setting: Setting) -> Iterator[Measured]:
    """Yield the time of each form, those that are right, and what they gain."""
    given = _given(setting)
    rows = torch.linspace(
        0, setting.block.tokens - 1, min(_JUDGED, setting.block.tokens)
    )
    rows = rows.long().to(setting.device)
    exact = pointwise(DEFINED, _judged(given, rows))
    forms = {"eager": functools.partial(pointwise, EAGER, given)}
    forms["fused"] = functools.partial(pointwise, FUSED, given)
    if not setting.is_toy:
        compiled = torch.compile(pointwise, fullgraph=True, dynamic=False)
        forms["compile"] = functools.partial(compiled, EAGER, given)
    calls: dict[str, Call] = {}
    for name, form in forms.items():
        try:
            outs = form()
        except Exception as error:
            about = f"not measured: {first_line(error)}"
            yield Measured(f"pointwise.{name}", math.nan, "ms", about)
            continue
        worst = largest(
            relative_error(out.index_select(1, rows), wanted)
            for out, wanted in zip(outs, exact, strict=True)
        )
        del outs
        if worst <= TOLERANCE[setting.dtype]:
            calls[name] = Call(lambda _, form=form: form())
            yield Measured(f"pointwise.{name}.error", worst, "")
        else:
            about = f"beyond its tolerance: error {worst:.1e}"
            yield Measured(f"pointwise.{name}", math.nan, "ms", about)
    times = _times(setting, calls)
    for name, seconds in times.items():
        yield Measured(f"pointwise.{name}", 1e3 * seconds, "ms")
    if "fused" in times:
        for other, key in (("eager", "speedup"), ("compile", "over_compile")):
            if other in times:
                ratio = times[other] / times["fused"]
                yield Measured(f"pointwise.{key}", ratio, "x")


def _judged(given: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """Return the inputs of some tokens in float64."""
    by_first = ("positions", "cos", "sin")
    by_second = ("x", "update", "wide", "q", "k", "v")
    found = {}
    for name, value in given.items():
        if name in by_first or name in by_second:
            value = value.index_select(0 if name in by_first else 1, rows)
        found[name] = value.double()
    return found


@torch.no_grad()
def _block(setting: Setting) -> Iterator[Measured]:
    """Yield the time of a whole block with fused, eager and mixed operations."""
    compute, start = _made(setting)
    forms: dict[str, dict[str, Callable[..., Any]]] = {
        "eager": {**_PLAIN, "attention": _plain_attention},
        "eager_with_our_attention": _PLAIN,
        "fused": {},
    }
    outs, calls = {}, {}
    for name, replaced in forms.items():
        form = functools.partial(_with, replaced, compute)
        # What the block adds: the hidden state it adds to is the same in all forms.
        outs[name] = form() - start
        calls[name] = Call(lambda _, form=form: form())
    error = relative_error(outs["fused"], outs["eager"])
    yield Measured("block.fused_against_eager", error)
    # Both round; the eager form at every step.
    if not error <= 4 * TOLERANCE[setting.dtype]:
        raise RuntimeError(f"the fused block is {error:.1e} off the eager one")
    outs.clear()
    times = _times(setting, calls)
    for name, seconds in times.items():
        yield Measured(f"block.{name}", 1e3 * seconds, "ms")
    ours = times["eager_with_our_attention"]
    chosen = times["eager"] / ours
    about = "torch's choice of attention over ours, the rest eager"
    yield Measured("block.attention_part", chosen, "x", about)
    about = f"{chosen:.4g} of it by the choice of attention alone"
    yield Measured("block.speedup", times["eager"] / times["fused"], "x", about)
    yield Measured("block.speedup_with_one_attention", ours / times["fused"], "x")


@torch.no_grad()
def _compiled(setting: Setting) -> Iterator[Measured]:
    """Yield the time of the eager form compiled, and of the fused form compiled."""
    compute, _ = _made(setting)
    both: dict[str, dict[str, Callable[..., Any]]] = {"eager": _PLAIN, "fused": {}}
    for name, replaced in both.items():
        torch.compiler.reset()
        with _replaced(replaced):
            ready = torch.compile(lambda: compute(), dynamic=False)
            ready()
            seconds = _times(setting, {name: Call(lambda _, ready=ready: ready())})
        yield Measured(f"block.{name}_compiled", 1e3 * seconds[name], "ms")


def _made(setting: Setting) -> tuple[Callable[[], Tensor], Tensor]:
    """Return a block of the model with random values, ready to be called, and its x."""
    own = RankBlock(setting.block, 1, device=setting.device, dtype=setting.dtype)
    config = DiTConfig(
        hidden=setting.block.hidden,
        heads=setting.block.heads,
        adaln_rank=setting.block.adaln_rank,
        mlp_ratio=setting.block.mlp_ratio,
    )
    torch.manual_seed(0)
    with torch.device(setting.device):
        block = layers.Block(config).to(setting.dtype).requires_grad_(False)
        text = torch.randn(1, setting.block.text, config.text_channels)
    around = {
        "positions": own.positions,
        "rope": own.rope,
        "text": text.to(setting.dtype),
        "noise": own.noise[0],
        "shared": own.shared[0],
    }
    return functools.partial(block, own.x, **around), own.x


def _plain_attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None
) -> Tensor:
    """Let torch choose."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)


_PLAIN: dict[str, Callable[..., Any]] = {
    "gate_residual_norm_modulate": eager_gate,
    "qk_norm_rope_pack": eager_pack,
}


@contextlib.contextmanager
def _replaced(by: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Let the blocks of the model call other operations."""
    kept = {name: getattr(layers, name) for name in by}
    try:
        for name, operation in by.items():
            setattr(layers, name, operation)
        yield
    finally:
        for name, operation in kept.items():
            setattr(layers, name, operation)


def _with(by: dict[str, Callable[..., Any]], compute: Callable[[], Tensor]) -> Tensor:
    with _replaced(by):
        return compute()


def _times(setting: Setting, calls: dict[str, Call]) -> dict[str, float]:
    return {name: each.median for name, each in timed(setting, calls).items()}
