"""What the loop reports after a step."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Progress:
    """Where a training stands: *step* of *steps* are done.

    *gradient* is the norm before clipping, *rate* the learning rate of the step.
    """

    step: int
    steps: int
    loss: float
    gradient: float
    rate: float
