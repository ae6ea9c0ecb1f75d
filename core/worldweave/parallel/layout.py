"""Which layout a job has: the user's, or what fits the model best."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from worldweave.request.check import raise_all
from worldweave.request.maps.tokens import TokenGrid
from worldweave_kernels.parallel import ParallelPlan
from worldweave_registry import Problems, did_you_mean

AXES = ("cfg", "ring", "ulysses")
#: What can be asked for, by name, with what it is where it is not asked for.
FIELDS: Mapping[str, int] = dataclasses.asdict(ParallelPlan())
_TRUTHS = {"true": True, "false": False}


def read(text: str) -> dict[str, int]:
    """Read "cfg=2,ring=1,ulysses=4": any fields of a ParallelPlan.

    Raise Problems naming everything in it that is wrong.
    """
    if not text.strip():
        raise Problems(["--layout is empty; give its parts, such as cfg=2,ulysses=4"])
    found: dict[str, int] = {}
    problems = []
    for part in map(str.strip, text.split(",")):
        name, _, value = part.partition("=")
        if not part:
            problems.append(f"--layout {text!r} has a comma too many; take it out")
            continue
        if name not in FIELDS:
            hint = did_you_mean(name, FIELDS) or f"; it has: {', '.join(FIELDS)}"
            problems.append(f"--layout has no part {name!r}{hint}")
            continue
        if name in found:
            problems.append(f"--layout has {name} twice; keep one of them")
        known = _value(value, isinstance(FIELDS[name], bool))
        if isinstance(known, str):
            problems.append(f"--layout {part!r}: {name} is {known}")
        else:
            found[name] = known
    raise_all(problems)
    _made(found)
    return found


def chosen(
    asked: Mapping[str, int],
    *,
    world: int,
    heads: int,
    guidance: bool,
    node_size: int,
    tokens: int,
) -> ParallelPlan:
    """Return the layout for *world* processes: all of *asked*, the best of the rest.

    Axes that are asked for are kept: those that are not are 1 then. Where none is, the
    layout is for as many processes as fit, perhaps fewer than there are. tokens: of
    one chunk. Raise Problems naming everything in *asked* that does not fit.
    """
    axes = [axis for axis in AXES if axis in asked]
    if not axes:
        made = ParallelPlan.auto(
            world, heads, guidance, node_size, tokens=tokens, **asked
        )
        raise_all(_misfits(made, heads, tokens))
        return made
    made = _made(asked)
    problems = _misfits(made, heads, tokens)
    if made.cfg > 1 and not guidance:
        problems.append(
            f"cfg is {made.cfg}, but guidance is 0, so there is nothing to share; "
            "give cfg=1, or a guidance above 0"
        )
    if made.world != world:
        problems.append(
            f"the layout {made} is for {made.world} processes but there are {world}; "
            f"start {made.world}, or give axes whose product is {world}"
        )
    raise_all(problems)
    return made


def tokens_of(grid: TokenGrid, patch_frames: int) -> int:
    """Return the tokens of one chunk; patch_frames: latent frames of a token."""
    frames = len(grid.frame_edges()) // patch_frames
    return frames * grid.rows * grid.columns


def _value(text: str, is_switch: bool) -> Any:
    """Return what *text* says, or in words what it should."""
    if is_switch:
        return _TRUTHS.get(text.lower(), "true or false")
    return int(text) if text.isdecimal() else "a whole number, such as 2"


def _made(asked: Mapping[str, int]) -> ParallelPlan:
    try:
        return ParallelPlan(**asked)  # type: ignore[arg-type]
    except ValueError as error:
        raise Problems([f"--layout: {line}" for line in str(error).splitlines()]) from (
            error
        )


def _misfits(made: ParallelPlan, heads: int, tokens: int) -> list[str]:
    try:
        made.refuse_misfit(heads, tokens)
    except ValueError as error:
        return [f"--layout: {line}" for line in str(error).splitlines()]
    return []
