"""One request on many GPUs: every rank holds the model, tokens and heads are shared."""

from worldweave_kernels.parallel.plan import ParallelPlan
from worldweave_kernels.parallel.ranks import Ranks
from worldweave_kernels.parallel.share import Share, all_gather

__all__ = ["ParallelPlan", "Ranks", "Share", "all_gather"]
