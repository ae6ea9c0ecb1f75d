"""One request on many GPUs: a pipeline wrapped from outside, its model unchanged."""

from __future__ import annotations

import attrs

from worldweave.executor import Alone
from worldweave.generate.pipeline import Pipeline
from worldweave.parallel.autoencoder import ParallelAutoencoder
from worldweave.parallel.executor import InParallel
from worldweave.parallel.sharded import refuse_other_code
from worldweave.parallel.text import FirstRankText
from worldweave_kernels.parallel import ParallelPlan, Ranks
from worldweave_registry import WorldweaveError

__all__ = ["ParallelPlan", "Ranks", "not_shared", "parallelize"]


def parallelize(
    pipeline: Pipeline, plan: ParallelPlan, *, ranks: Ranks | None = None
) -> Pipeline:
    """Return *pipeline* as it runs on all ranks of *plan*, with the same branches.

    Every process of torch.distributed calls this at once, and then makes the same
    calls with the same arguments; each gets the same generation, made from what the
    first one has read, which is also the one to save it. On GPUs the group needs a
    backend for the CPU, too: "cpu:gloo,cuda:nccl".

    The model is shared with *pipeline*, which stays as it was; what is enabled or
    disabled on one is so on the other. ranks: this process in the mesh, where it has
    been joined already (`Ranks.join`, to be asked by processes that a smaller plan
    leaves over). Raise WorldweaveError where the plan does not fit the model or this
    process is beyond it.
    """
    base = pipeline.base
    if not isinstance(base.executor, Alone):
        raise WorldweaveError(
            "the pipeline is parallel already; give the one it was made of"
        )
    if ranks is not None and ranks.plan != plan:
        raise WorldweaveError(
            f"the ranks have joined for {ranks.plan}, but the plan is {plan}; give "
            "one plan to both"
        )
    refuse_other_code(base.dit)
    try:
        plan.refuse_misfit(base.config.heads)
        if ranks is None:
            ranks = Ranks.join(plan, base.placement.device)
    except ValueError as error:
        raise WorldweaveError(str(error)) from error
    if ranks is None:
        raise WorldweaveError(
            f"this process is beyond the {plan.world} of the plan; start {plan.world}, "
            "or ask Ranks.join first and leave where it returns None"
        )
    together = attrs.evolve(
        base,
        executor=InParallel(ranks),
        autoencoder=ParallelAutoencoder(base.autoencoder, ranks),
        text_encoder=FirstRankText(base.text_encoder, ranks),
    )
    return pipeline.on(together)


def not_shared(pipeline: Pipeline) -> list[str]:
    """Return what every rank of a parallel *pipeline* computes whole, a line for each.

    All ranks call this at once: whether the autoencoder can be shared is tried.
    """
    base, found = pipeline.base, []
    if isinstance(base.executor, InParallel) and base.executor.ranks.plan.sequence > 1:
        found = [
            f"the branch of {name!r} has code of its own, which may look at "
            "neighbours: every process computes all of it"
            for name, active in pipeline.active.items()
            if base.executor.runs_whole(active.branch)
        ]
    if isinstance(base.autoencoder, ParallelAutoencoder):
        base.autoencoder.prove()
        if not base.autoencoder.shares_rows:
            found.append(
                f"every process encodes and decodes all: {base.autoencoder.why_whole}"
            )
    return found
