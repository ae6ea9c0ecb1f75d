"""The canary: does the branch follow its control at all?"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

#: A control that lowers the x0 error by less than a hundredth is none. The watched
#: clips and their noise are always the same, so this is far above the scatter.
LEAST_GAIN = 0.01


@attrs.frozen(kw_only=True)
class Canary:
    """Raises the alarm where nothing but chance tells the right hint from others."""

    after: int
    """The step from which on a control signal is expected."""

    def alarm(self, step: int, values: Mapping[str, float]) -> str:
        """Return what is wrong at *step*, in one line, or "".

        *values* are those of the monitors; without a control gain among them there
        is nothing to judge.
        """
        if step < self.after or "control_gain" not in values:
            return ""
        right, wrong = values["control_gain"], values["wrong_hint_gain"]
        if right >= LEAST_GAIN and right - wrong >= LEAST_GAIN:
            return ""
        return (
            f"no control signal after {step} steps: the right hint lowers the x0 error "
            f"by {right:.1%}, a wrong one by {wrong:.1%}; look at the controls of some "
            "clips, then try a higher learning rate or a smaller batch with more "
            "steps; sparse controls start late"
        )
