"""Run every active branch, then the base with their residuals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from torch import Tensor

from worldweave.model.dit import DiT
from worldweave.model.patches import token_grid
from worldweave.model.step import Step

#: A branch, or what runs one: (latent, step, hint) to residuals.
RunBranch: TypeAlias = Callable[[Tensor, Step, Tensor], Sequence[Tensor]]


class MisfitError(ValueError):
    """The residuals of a branch do not fit the base."""

    def __init__(self, branch: str, message: str) -> None:
        self.branch = branch
        super().__init__(message)


def weave(
    base: DiT,
    branches: Mapping[str, RunBranch],
    latent: Tensor,
    step: Step,
    hints: Mapping[str, Tensor],
    maps: Mapping[str, Tensor],
) -> Tensor:
    """Return the base's output under the control of *branches*.

    Hints are (1 or B, C', T, H, W), maps (1 or B, T, H, W) on the token grid,
    normalised. All three mappings have the same keys; their order fixes the order
    of summation. Raise MisfitError where residuals do not fit the base, ValueError
    where maps do not.
    """
    grid = token_grid(latent, base.config.patch)
    residuals = []
    for name, branch in branches.items():
        hint = hints[name].expand(len(latent), -1, -1, -1, -1)
        residuals.append(branch(latent, step, hint))
        refuse_residuals(name, residuals[-1], base, (len(latent), *grid))
        refuse_map(name, maps[name], (len(latent), *grid))
    out: Tensor = base(latent, step, residuals, [maps[name] for name in branches])
    return out


def refuse_residuals(
    name: str, residuals: Sequence[Tensor], base: DiT, tokens: tuple[int, ...]
) -> None:
    """Raise MisfitError unless each fits *base* on *tokens*, (B, T, H, W)."""
    is_list = isinstance(residuals, (list, tuple))
    if not is_list or not all(isinstance(each, Tensor) for each in residuals):
        raise MisfitError(
            name,
            f"branch {name!r} gave a {type(residuals).__name__}, the base needs a list "
            "of tensors (B, T, H, W, D)",
        )
    refuse_count(name, len(residuals), base)
    wanted = (*tokens, base.config.hidden)
    for block, residual in enumerate(residuals):
        if tuple(residual.shape) != wanted:
            raise MisfitError(
                name,
                f"branch {name!r} gave a residual {tuple(residual.shape)} for block "
                f"{block}, the base needs {wanted} (B, T, H, W, D)",
            )


def refuse_count(name: str, residuals: int, base: DiT) -> None:
    """Raise MisfitError where there are more residuals than blocks."""
    if residuals > len(base.blocks):
        raise MisfitError(
            name,
            f"branch {name!r} gave {residuals} residuals but the base has "
            f"{len(base.blocks)} blocks; give at most one per block",
        )


def refuse_map(name: str, map_: Tensor, tokens: tuple[int, ...]) -> None:
    """Raise ValueError unless the map is (1 or B, T, H, W) of *tokens*."""
    if tuple(map_.shape[1:]) != tokens[1:] or map_.shape[0] not in (1, tokens[0]):
        raise ValueError(
            f"the map of {name!r} is {tuple(map_.shape)}, the base needs "
            f"(1 or {tokens[0]}, {', '.join(map(str, tokens[1:]))}) (B, T, H, W); "
            "bring it to the token grid"
        )
