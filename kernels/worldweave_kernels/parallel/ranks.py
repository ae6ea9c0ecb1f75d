"""This process among the ranks of a plan, over torch.distributed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from worldweave_kernels.parallel.plan import ParallelPlan

AXES = ("cfg", "ring", "ulysses")


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where this process is in the mesh of *plan*, and whom it talks to.

    A group is None where it has this rank alone. sequence: the ranks that share the
    tokens of one evaluation, in the order of their tokens: ring slowest. everyone: all
    ranks of the plan; process groups are those of NCCL for a GPU, of gloo for a CPU.
    """

    plan: ParallelPlan
    device: torch.device
    rank: int = 0
    cfg_index: int = 0
    ring_index: int = 0
    ulysses_index: int = 0
    cfg: dist.ProcessGroup | None = None
    ring: dist.ProcessGroup | None = None
    ulysses: dist.ProcessGroup | None = None
    sequence: dist.ProcessGroup | None = None
    everyone: dist.ProcessGroup | None = None

    @property
    def sequence_index(self) -> int:
        """Which share of the tokens this rank has."""
        return self.ring_index * self.plan.ulysses + self.ulysses_index

    @property
    def is_first(self) -> bool:
        """Whether this rank speaks and writes for all."""
        return self.rank == 0

    @classmethod
    def join(
        cls, plan: ParallelPlan, device: torch.device | str = "cpu"
    ) -> Ranks | None:
        """Return this process's place among the first `plan.world` of all processes.

        All processes of torch.distributed call this at once. None: this one is beyond
        them. Raise ValueError where there are too few; a plan for one rank needs no
        torch.distributed.
        """
        device = torch.device(device)
        if plan.world == 1:
            own = dist.get_rank() if dist.is_initialized() else 0
            return None if own else cls(plan, device)
        there = dist.get_world_size() if dist.is_initialized() else 1
        if plan.world > there:
            raise ValueError(
                f"the plan is for {plan.world} ranks ({plan}) but there are {there}; "
                "start as many with torchrun, or give a plan for fewer"
            )
        place = _place(plan, device.type)
        if place is None:
            return None
        at, groups = place
        return cls(
            plan,
            device,
            rank=dist.get_rank(),
            cfg_index=at.get("cfg", 0),
            ring_index=at.get("ring", 0),
            ulysses_index=at.get("ulysses", 0),
            **groups,
        )


def _place(
    plan: ParallelPlan, kind: str
) -> tuple[dict[str, int], dict[str, dist.ProcessGroup]] | None:
    """Make the groups of *plan*; return this rank's index by axis, and its groups.

    None beyond the plan. Axes of one rank are left out, and no set of ranks becomes a
    group twice: on a GPU each keeps buffers of its own. All processes make all groups,
    whoever is in them: NCCL splits them off the group of all, which waits for all.
    """
    sizes = {axis: size for axis in AXES if (size := getattr(plan, axis)) > 1}
    order = torch.arange(plan.world)
    mesh = DeviceMesh(kind, order.view(*sizes.values()), mesh_dim_names=tuple(sizes))
    # Groups of several axes are made beside: flattening a mesh is private to torch.
    flat = mesh if len(sizes) == 1 else DeviceMesh(kind, order)
    half: dist.ProcessGroup | None = None
    if len(sizes) == 3:
        halves = order.view(plan.cfg, plan.sequence).tolist()
        half, _ = dist.new_subgroups_by_enumeration(halves)  # type: ignore[no-untyped-call]
    place = mesh.get_coordinate()
    if place is None:
        return None
    groups = {axis: mesh.get_group(axis) for axis in sizes}
    groups["everyone"] = flat.get_group()
    if half is not None:
        groups["sequence"] = half
    elif plan.sequence > 1:
        groups["sequence"] = groups["everyone" if plan.cfg == 1 else list(sizes)[-1]]
    return dict(zip(sizes, place, strict=True)), groups
