"""How far a provider is from float64, on all of a result or a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from worldweave_kernels.agreement import TOLERANCE, relative_error
from worldweave_kernels.bench.ops import OPS, Case, parts, variable

#: Elements of the largest input up to which the whole result is judged.
WHOLE = 2**22
#: Tokens that a larger result is judged by, spread from the first to the last.
TOKENS = 512
#: Bytes that the definition takes in float64, gradients included, for each of its
#: arguments: intermediate results in steps are many.
_TAKEN = 12 * 8


class Judge:
    """The exact results and gradients of a case, and the error of others against them.

    Large cases are judged by a part: some tokens, of attention one head. Gradients
    of what all parts share need all of them; where these do not fit, *unjudged* names
    the gradients.
    """

    def __init__(
        self, case: Case, args: tuple[Any, ...], slopes: Sequence[Tensor]
    ) -> None:
        op = OPS[case.op]
        self.tolerance = TOLERANCE[case.dtype]
        self._outer = op.outer
        self._inner = op.inner(case.shape)
        self._op = case.op
        self._part = _part(case, args)
        if slopes and op.shared and _fits(case, args):
            self._part = None
        self.unjudged = op.shared if slopes and self._part is not None else ()
        self._variable = variable(case)
        # The inputs are rounded to the dtype already: only the computing is judged.
        leaves, tree = pytree.tree_flatten(args)
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        inputs = []
        for place, dim, varies in zip(places, self._inner, self._variable, strict=True):
            part = self._taken(leaves[place].detach(), dim).double()
            leaves[place] = part.requires_grad_(bool(slopes) and varies)
            inputs += [part] * varies
        outs = parts(case.op, op.define(*pytree.tree_unflatten(leaves, tree)))
        self._outs = [out.detach() for out in outs]
        self._gradients: Sequence[Tensor] = ()
        if slopes:
            given = [
                self._taken(slope, dim).double()
                for slope, dim in zip(slopes, self._outer, strict=True)
            ]
            self._gradients = torch.autograd.grad(outs, inputs, given)

    def error(self, outs: Sequence[Tensor], gradients: Sequence[Tensor] = ()) -> float:
        """Return the largest relative error among *outs* and *gradients*.

        *gradients* are those of the arguments that vary. Not a number is infinitely
        wrong.
        """
        outs = parts(self._op, outs)
        inner = [d for d, v in zip(self._inner, self._variable, strict=True) if v]
        found: list[tuple[Tensor, Tensor, int | None]] = [
            *zip(outs, self._outs, self._outer, strict=True)
        ]
        if gradients:
            found += [
                (ours, exact, dim)
                for ours, exact, dim in zip(
                    gradients, self._gradients, inner, strict=True
                )
                if self._part is None or dim is not None
            ]
        errors = [
            relative_error(self._taken(ours, dim), exact) for ours, exact, dim in found
        ]
        return max(error if error == error else float("inf") for error in errors)

    def _taken(self, x: Tensor, dim: int | None) -> Tensor:
        """Return the part of *x* that is judged."""
        if self._part is None or dim is None:
            return x
        return x.index_select(dim, self._part.to(x.device))


def _fits(case: Case, args: tuple[Any, ...]) -> bool:
    """Whether there is a GPU with memory to judge all of a case at once."""
    if torch.device(case.device).type != "cuda":
        return False
    count = sum(x.numel() for x in pytree.tree_leaves(args) if isinstance(x, Tensor))
    return count * _TAKEN < 0.8 * float(torch.cuda.mem_get_info(case.device)[0])


def _part(case: Case, args: tuple[Any, ...]) -> Tensor | None:
    """Return the positions to judge by, None for all."""
    largest = max(x.numel() for x in pytree.tree_leaves(args) if isinstance(x, Tensor))
    if case.op == "attention":
        # Float64 has few units; a head of 1024 queries and keys is quick on a CPU.
        scores = case.shape["L"] * case.shape["M"] * case.shape["H"]
        return None if scores <= 2**23 else torch.tensor([case.shape["H"] // 2])
    if largest <= WHOLE or case.shape["L"] <= TOKENS:
        return None
    return torch.linspace(0, case.shape["L"] - 1, TOKENS).long()
