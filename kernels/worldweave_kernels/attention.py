"""The one door every attention of the model goes through."""

# B batch, L query, M key, H head, d channels of one head

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, overload

import torch
from torch import Tensor

from worldweave_kernels import libraries, reference
from worldweave_kernels.dispatch import (
    Candidate,
    Choice,
    choose,
    triton_candidate,
)
from worldweave_kernels.libraries import Wanted
from worldweave_kernels.splits import attend_to_shares, split_count

#: What Triton keeps a head's queries and result of in registers.
_WIDEST_IN_TRITON = 256
#: Programs along the second and third axis of a grid, CUDA's limit.
_MOST_IN_TRITON = 65535
#: Of the reference on a GPU, unasked: 4 GiB in float32, of which a gradient needs
#: several. One self-attention of the 7B has 1e11.
_MOST_SCORES = 2**30
_LIBRARIES = ("fa4", "fa3", "cudnn", "flash")
_SPLITTING = (*_LIBRARIES, "triton")


@overload
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    return_lse: Literal[False] = False,
    num_splits: int | Literal["auto"] = "auto",
    backend: str = "auto",
) -> Tensor: ...


@overload
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    return_lse: Literal[True],
    num_splits: int | Literal["auto"] = "auto",
    backend: str = "auto",
) -> tuple[Tensor, Tensor]: ...


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    return_lse: bool = False,
    num_splits: int | Literal["auto"] = "auto",
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Return softmax(scale * q k^T) v, and with *return_lse* its log-sum-exp.

    *q* is (B, L, H, d), *k* and *v* are (B, M, H, d), of any strides; the result is
    like *q*, the log-sum-exp of each query's scores (B, H, L), natural logarithm, in
    float32 (float64 for float64). *scale* is d ** -0.5 unless given. No mask: every
    query sees every key, as in Cosmos-Transfer1.

    *num_splits* shares of the keys are attended to at once and merged, which helps
    where few heads leave multiprocessors idle; "auto" splits on a GPU where a model
    of it gains (`splits.split_count`). Libraries but FlashAttention 3, which splits
    itself, compute shares as a batch, for which q is repeated, and k and v are copied
    where B is not one.

    A gradient through the log-sum-exp or through splits has only the reference, which
    on a GPU is not taken unasked where it would hold more than 2 ** 30 scores.
    Raise ValueError where shapes, dtypes, devices or *num_splits* do not fit,
    BackendError where *backend* cannot do it.
    """
    wanted = _wanted(q, k, v, scale, return_lse, num_splits)
    name = _choose(wanted, backend).backend
    splits = _splits(wanted, num_splits, name)
    if name == "triton":
        factor = q.shape[-1] ** -0.5 if scale is None else float(scale)
        out, lse = _through_triton(q, k, v, factor, splits)
    elif splits > 1 and name not in libraries.SPLITTING:
        out, lse = _in_shares(name, wanted, splits)
    elif name == "reference":
        out, lse = reference.attention(q, k, v, scale=scale)
    elif return_lse:
        out, lse = libraries.attend_with_lse(name, wanted._replace(splits=splits))
    else:
        return libraries.attend(name, wanted._replace(splits=splits))[0]
    return (out, lse) if return_lse else out


def chosen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    return_lse: bool = False,
    num_splits: int | Literal["auto"] = "auto",
    backend: str = "auto",
) -> Choice:
    """Return the backend that `attention` takes for these arguments."""
    wanted = _wanted(q, k, v, scale, return_lse, num_splits)
    choice = _choose(wanted, backend)
    reason = choice.reason
    if q.device.type == "cuda" and not reason.startswith("asked for"):
        reason += ", in the order of published speeds"
    splits = _splits(wanted, num_splits, choice.backend)
    if splits > 1:
        reason += f"; the keys in {splits} shares"
    return choice._replace(reason=reason)


def merge_attention(
    out: Tensor,
    lse: Tensor,
    other: Tensor,
    other_lse: Tensor,
    *,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Join attentions of the same queries over disjoint keys into that over all.

    *out* and *other* are (B, L, H, d), their log-sum-exps (B, H, L); so is the result,
    in the dtypes of *out* and *lse*. A log-sum-exp of -inf stands for no keys at all.
    Computed in float32 at least. Gradients have only the reference. Raise ValueError
    for other shapes or several devices.
    """
    outs, lses = [out, other], [lse, other_lse]
    batch, tokens, heads, _ = out.shape
    if other.shape != out.shape or any(
        each.shape != (batch, heads, tokens) for each in lses
    ):
        raise ValueError(
            f"attentions {tuple(out.shape)} and {tuple(other.shape)} with log-sum-exps "
            f"{tuple(lse.shape)} and {tuple(other_lse.shape)} cannot be merged; give "
            "two of (B, L, H, d) and two of (B, H, L)"
        )
    if any(each.device != out.device for each in (other, *lses)):
        devices = ", ".join(str(each.device) for each in (*outs, *lses))
        raise ValueError(f"attentions on {devices} cannot be merged; give one device")
    return _merged(outs, lses, backend)


def merge_chosen(
    out: Tensor,
    lse: Tensor,
    other: Tensor,
    other_lse: Tensor,
    *,
    backend: str = "auto",
) -> Choice:
    """Return the backend that `merge_attention` takes for these arguments."""
    return _choose_merge([out, other], [lse, other_lse], backend)


def _wanted(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None,
    return_lse: bool,
    num_splits: int | Literal["auto"],
) -> Wanted:
    """Return what is asked of a backend. Raise ValueError where it does not fit."""
    _refuse_misfit(q, k, v, num_splits)
    splits = 1 if num_splits == "auto" else num_splits
    gradient = torch.is_grad_enabled() and (
        q.requires_grad or k.requires_grad or v.requires_grad
    )
    on_gpu = q.device.type == "cuda"
    capability = torch.cuda.get_device_capability(q.device) if on_gpu else (0, 0)
    lse = return_lse or splits > 1
    return Wanted(q, k, v, scale, lse, gradient, splits, capability)


def _choose(wanted: Wanted, backend: str) -> Choice:
    return choose("attention", _candidates(wanted), backend)


def _candidates(wanted: Wanted) -> Iterator[Candidate]:
    """Yield the backends, the preferred first: none is examined that is not needed."""
    for name in (*_LIBRARIES, "sdpa"):
        unasked = None
        if name == "fa4" and wanted.capability[0] == 9:
            unasked = "its strength is sm_100"
        yield Candidate(name, libraries.obstacle(name, wanted), unasked)
    triton = _in_triton(wanted.q, wanted.gradient, wanted.splits)
    if triton.obstacle is None:
        triton = triton._replace(obstacle=libraries.not_positive(wanted))
    yield triton
    yield Candidate("reference", unasked=_too_many_scores(wanted))


def _in_triton(x: Tensor, gradient: bool, splits: int) -> Candidate:
    """Return Triton as a candidate for attention, or its merge, of x (B, L, H, d)."""
    candidate = triton_candidate(x)
    batch, _, heads, width = x.shape
    obstacle = candidate.obstacle
    if obstacle is not None:
        return candidate
    if gradient:
        obstacle = "it has no backward, and a gradient is wanted"
    elif width > _WIDEST_IN_TRITON:
        obstacle = f"heads have {width} channels, more than {_WIDEST_IN_TRITON}"
    elif batch * heads > _MOST_IN_TRITON or splits > _MOST_IN_TRITON:
        obstacle = f"it takes at most {_MOST_IN_TRITON} heads, of all videos, or splits"
    return candidate._replace(obstacle=obstacle)


def _too_many_scores(wanted: Wanted) -> str | None:
    """Return why the reference, which holds every score, is not taken unasked."""
    batch, queries, heads, _ = wanted.q.shape
    scores = batch * heads * queries * wanted.k.shape[1]
    if wanted.q.device.type != "cuda" or scores <= _MOST_SCORES:
        return None
    size = torch.promote_types(wanted.q.dtype, torch.float32).itemsize
    return (
        f"its scores would take {scores * size / 1e9:.0f} GB, several times over; give "
        "up what keeps the others from it, or ask for backend='reference'"
    )


def _splits(wanted: Wanted, num_splits: int | Literal["auto"], backend: str) -> int:
    """Return into how many shares *backend* splits the keys."""
    if num_splits != "auto":
        return num_splits
    q = wanted.q
    if q.device.type != "cuda" or wanted.gradient or backend not in _SPLITTING:
        return 1
    # FlashAttention 4 works on two blocks of 128 queries at a time; cuDNN, which is
    # as fast there, is taken to do so too.
    rows = 256 if wanted.capability[0] == 10 and backend in ("fa4", "cudnn") else 128
    batch, queries, heads, _ = q.shape
    tiles = batch * heads * -(-queries // rows)
    return split_count(tiles, wanted.k.shape[1], _processors(q.device))


def _processors(gpu: torch.device) -> int:
    return torch.cuda.get_device_properties(gpu).multi_processor_count


# The properties cannot be traced: torch.compile takes the count for a constant. This
# mark is all that torch.compiler.assume_constant_result leaves, which would import the
# whole compiler, two seconds of it, with this module.
_processors._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _in_shares(name: str, wanted: Wanted, splits: int) -> tuple[Tensor, Tensor]:
    """Attend to shares of the keys through a backend that does not split them."""
    q, k, v = wanted[:3]
    if name == "reference":
        parts = [
            reference.attention(q, *share, scale=wanted.scale)
            for share in zip(k.chunk(splits, 1), v.chunk(splits, 1), strict=True)
        ]
        return reference.merge_attention([o for o, _ in parts], [e for _, e in parts])

    def attend(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        share = wanted._replace(q=q, k=k, v=v, splits=1)
        return libraries.attend_with_lse(name, share)

    parts = attend_to_shares(attend, q, k, v, splits)
    return _merged([out for out, _ in parts], [lse for _, lse in parts], "auto")


def _merged(
    outs: list[Tensor], lses: list[Tensor], backend: str
) -> tuple[Tensor, Tensor]:
    if _choose_merge(outs, lses, backend).backend == "reference":
        return reference.merge_attention(outs, lses)
    out, lse = _merged_by_triton(outs, lses)
    return out, lse


def _choose_merge(outs: list[Tensor], lses: list[Tensor], backend: str) -> Choice:
    gradient = torch.is_grad_enabled() and any(
        each.requires_grad for each in (*outs, *lses)
    )
    candidates = (_in_triton(outs[0], gradient, 1), Candidate("reference"))
    return choose("merge_attention", candidates, backend)


@torch.library.custom_op("worldweave::attention", mutates_args=())
def _through_triton(
    q: Tensor, k: Tensor, v: Tensor, scale: float, splits: int
) -> tuple[Tensor, Tensor]:
    from worldweave_kernels.in_triton.attention import attention_shares
    from worldweave_kernels.in_triton.merge import merge

    outs, lses = attention_shares(q, k, v, scale, splits)
    if splits == 1:
        return outs[0], lses[0]
    return merge(outs.unbind(), lses.unbind(), q.dtype)


@_through_triton.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, scale: float, splits: int
) -> tuple[Tensor, Tensor]:
    batch, tokens, heads, _ = q.shape
    wide = torch.promote_types(q.dtype, torch.float32)
    return q.new_empty(q.shape), q.new_empty((batch, heads, tokens), dtype=wide)


@torch.library.custom_op("worldweave::merge_attention", mutates_args=())
def _merged_by_triton(outs: list[Tensor], lses: list[Tensor]) -> tuple[Tensor, Tensor]:
    from worldweave_kernels.in_triton.merge import merge

    return merge(outs, lses, outs[0].dtype)


@_merged_by_triton.register_fake
def _(outs: list[Tensor], lses: list[Tensor]) -> tuple[Tensor, Tensor]:
    return outs[0].new_empty(outs[0].shape), lses[0].new_empty(lses[0].shape)


def _refuse_misfit(
    q: Tensor, k: Tensor, v: Tensor, num_splits: int | Literal["auto"]
) -> None:
    """Raise ValueError that says all that does not fit."""
    misfits = []
    if q.dim() != 4 or k.dim() != 4:
        misfits.append("each is (batch, tokens, heads, channels)")
    else:
        for axis, what in ((0, "batch sizes"), (2, "heads"), (3, "channels")):
            if q.shape[axis] != k.shape[axis]:
                misfits.append(f"{what} are {q.shape[axis]} in q, {k.shape[axis]} in k")
        if k.shape[1] == 0:
            misfits.append("there is no key")
    if v.shape != k.shape:
        misfits.append("k and v differ in shape")
    if not (q.dtype == k.dtype == v.dtype and q.is_floating_point()):
        dtypes = ", ".join(str(x.dtype).removeprefix("torch.") for x in (q, k, v))
        misfits.append(f"dtypes are {dtypes}; one of floating point is expected")
    if not q.device == k.device == v.device:
        misfits.append(f"devices are {q.device}, {k.device}, {v.device}")
    if misfits:
        shapes = ", ".join(
            f"{name} {tuple(x.shape)}" for name, x in {"q": q, "k": k, "v": v}.items()
        )
        raise ValueError(f"attention cannot take {shapes}: {'; '.join(misfits)}")
    if num_splits != "auto" and not 1 <= num_splits <= k.shape[1]:
        raise ValueError(
            f"num_splits is {num_splits}; it is 'auto' or from 1 to the number of keys,"
            f" {k.shape[1]}"
        )
