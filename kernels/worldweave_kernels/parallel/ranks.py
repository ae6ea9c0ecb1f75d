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
        kind, order = device.type, torch.arange(plan.world)
        sizes = (plan.cfg, plan.ring, plan.ulysses)
        mesh = DeviceMesh(kind, order.view(sizes), mesh_dim_names=AXES)
        along = {axis: (mesh, axis) for axis in AXES}
        # Groups of several axes. Meshes beside the first, not flattened from it, which
        # is private to torch; and none for ranks that are a group already: on a GPU
        # each group keeps buffers of its own.
        along["sequence"] = along["ulysses" if plan.ring == 1 else "ring"]
        if plan.ring > 1 and plan.ulysses > 1:
            halves, names = order.view(plan.cfg, plan.sequence), ("halves", "sequence")
            flat = DeviceMesh(kind, halves, mesh_dim_names=names)
            along["sequence"] = flat, "sequence"
        along["everyone"] = along["sequence" if plan.cfg == 1 else "cfg"]
        if plan.cfg > 1 and plan.sequence > 1:
            flat = DeviceMesh(kind, order, mesh_dim_names=("everyone",))
            along["everyone"] = flat, "everyone"
        place = mesh.get_coordinate()
        if place is None:
            return None
        at_cfg, at_ring, at_ulysses = place
        return cls(
            plan,
            device,
            rank=dist.get_rank(),
            cfg_index=at_cfg,
            ring_index=at_ring,
            ulysses_index=at_ulysses,
            **{name: _group(*of) for name, of in along.items()},
        )


def _group(mesh: DeviceMesh, axis: str) -> dist.ProcessGroup | None:
    """Return this rank's group along *axis*, None where it is alone."""
    group = mesh.get_group(axis)
    return group if dist.get_world_size(group) > 1 else None
