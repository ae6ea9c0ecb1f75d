"""What is compiled: the operations at the shapes of the 7B, in bf16."""

# B batch, L token, D hidden, H head, d channels of one head, N branch

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import worldweave_kernels as kernels

#: Tokens of 121 frames of 704 x 1280, hidden width, heads, and their channels.
L, D, H, d = 56_320, 4096, 32, 128

#: Branches at once: edge, vis, depth, seg.
N = 4


def cases() -> dict[str, Callable[[], object]]:
    """Return operations to call where "cuda" is a stand-in, by what they show."""
    return {
        "weighted_add": _weighted_add,
        "weighted_add, normalised": partial(_weighted_add, normalize=True),
        # As branches are trained: maps are given.
        "weighted_add, backward": partial(
            _backward, partial(_weighted_add, maps_learn=False)
        ),
        "weighted_add, normalised, backward": partial(
            _backward, partial(_weighted_add, normalize=True)
        ),
        "attention": _attention,
        # Into as many as it splits itself on an H200.
        "attention, one head in two shares": partial(_attention, heads=1, num_splits=2),
        "attention to text": partial(_attention, keys=512),
        "norm_modulate": _norm_modulate,
        "norm_modulate, backward": partial(_backward, _norm_modulate),
        "gate_residual_norm_modulate": _gate,
        "gate_residual_norm_modulate, backward": partial(_backward, _gate),
        # As all is trained on GPUs: the hidden state in float32, what is added not.
        "gate_residual_norm_modulate, autocast": partial(_gate, torch.float32),
        "gate_residual_norm_modulate, autocast, backward": partial(
            _backward, partial(_gate, torch.float32)
        ),
        "qk_norm_rope_pack": _pack,
        "qk_norm_rope_pack, backward": partial(_backward, _pack),
        "control_inject": _control_inject,
    }


def _tensor(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    tensor = torch.empty(shape, dtype=dtype, device="cuda")
    return tensor.requires_grad_(torch.is_grad_enabled())


def _backward(operation: Callable[[], object]) -> None:
    """Differentiate the outputs of *operation* in all its tensors."""
    with torch.enable_grad():
        outs = pytree.tree_leaves(operation())
        torch.autograd.backward(outs, [torch.empty_like(each) for each in outs])


def _hidden(dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return _tensor(1, L, D, dtype=dtype)


def _maps() -> list[Tensor]:
    return [_tensor(1, L, dtype=torch.float32) for _ in range(N)]


def _weighted_add(normalize: bool = False, maps_learn: bool = True) -> object:
    residuals = [_hidden() for _ in range(N)]
    maps = [each if maps_learn else each.detach() for each in _maps()]
    return kernels.weighted_add(
        _hidden(), residuals, maps, normalize=normalize, backend="triton"
    )


def _attention(heads: int = H, keys: int = L, num_splits: int = 1) -> object:
    q, k, v = (_tensor(1, tokens, heads, d) for tokens in (L, keys, keys))
    return kernels.attention(q, k, v, num_splits=num_splits, backend="triton")


def _norm_modulate() -> object:
    shift, scale = (_tensor(1, 1, D) for _ in range(2))
    return kernels.norm_modulate(_hidden(), shift, scale, backend="triton")


def _gate(dtype: torch.dtype = torch.bfloat16) -> object:
    modulation = [_tensor(1, 1, D) for _ in range(3)]
    return kernels.gate_residual_norm_modulate(
        _hidden(dtype),
        _hidden(),
        *modulation,
        positions=_tensor(L, D, dtype=dtype),
        backend="triton",
    )


def _pack() -> object:
    qkv = [_tensor(1, L, H, d) for _ in range(3)]
    weights = [_tensor(d) for _ in range(2)]
    with torch.no_grad():
        turns = [_tensor(L, d // 2, dtype=torch.float32) for _ in range(2)]
    return kernels.qk_norm_rope_pack(*qkv, *weights, *turns, backend="triton")


def _control_inject() -> object:
    return kernels.control_inject(
        _hidden(),
        [_hidden() for _ in range(N)],
        [_tensor(D, D) for _ in range(N)],
        [_tensor(D) for _ in range(N)],
        _maps(),
        backend="triton",
    )
