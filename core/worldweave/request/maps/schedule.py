"""How a map depends on the denoising step."""

from __future__ import annotations

from torch import Tensor

from worldweave.request.sources import Schedule


def factor(schedule: Schedule, step: int, levels: Tensor) -> float:
    """Return what a map is multiplied with at evaluation *step*, of one per level."""
    if schedule.linear is not None:
        first, last = schedule.linear
        return first + (last - first) * step / max(1, len(levels) - 1)
    if schedule.interval is not None:
        low, high = schedule.interval
        # The first and last levels are powers of roots: 80 is 80.00000000000003.
        sigma = float(levels[step])
        return 1.0 if low * (1 - 1e-9) <= sigma <= high * (1 + 1e-9) else 0.0
    return 1.0


def schedule_problems(name: str, schedule: Schedule | None) -> list[str]:
    """Return what is wrong with the schedule of modality *name*, one line each."""
    if schedule is None:
        return []
    what = f"schedule of {name!r}"
    given = [f for f in ("linear", "interval") if getattr(schedule, f) is not None]
    if len(given) != 1:
        has = " and ".join(given) or "nothing"
        return [f"{what} has {has}; give one of linear, interval"]
    if schedule.linear is not None:
        return [
            f"{what}: linear is {value:g}; give factors from 0 to 1"
            for value in schedule.linear
            if not 0 <= value <= 1
        ]
    low, high = schedule.interval or (0.0, 0.0)
    if not 0 <= low <= high <= 80:
        return [
            f"{what}: interval is {low:g} to {high:g}; give two noise levels, the "
            "lower one first, from 0.002 to 80"
        ]
    return []


def told(schedule: Schedule | None) -> str:
    """Say a schedule in words."""
    if schedule is None:
        return "constant"
    if schedule.linear is not None:
        return "linear, {:g} to {:g}".format(*schedule.linear)
    low, high = schedule.interval or (0.0, 0.0)
    return f"where {low:g} <= sigma <= {high:g}"
