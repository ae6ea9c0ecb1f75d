"""Every check of a modality, in the order in which they are told."""

from worldweave.testing.checks import (
    branch,
    listing,
    living,
    metric,
    numerics,
    options,
    preprocessing,
    training,
    weights,
)

CHECKS = (
    *listing.CHECKS,
    *preprocessing.CHECKS,
    *options.CHECKS,
    *branch.CHECKS,
    *numerics.CHECKS,
    *weights.CHECKS,
    # Before the training: what a plugin keeps from there would go unseen.
    *living.CHECKS,
    *training.CHECKS,
    *metric.CHECKS,
)
