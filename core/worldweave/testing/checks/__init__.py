"""Every check of a modality, in the order in which they are told."""

from worldweave.testing.checks import listing

CHECKS = (*listing.CHECKS,)
