"""What virtual ranks were found to do: rows, and what they were measured on."""

# U rank of one exchange

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from worldweave_kernels.bench.results import Machine, Timing

LABEL = "compute measured, communication modelled"
#: Of the JSON. It rises when a field changes its name or meaning.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class RankRow:
    """One count of GPUs in one mode: measured, or the reason why not.

    *gpus* are *guidance* groups of *ranks*: beyond one rank per head, conditional and
    unconditional passes are computed by a half each, which exchanges a latent per step
    (14 MB at 7B, not counted). Efficiencies are shares of the ideal t(1) / U.
    """

    gpus: int
    guidance: int
    ranks: int
    mode: str
    time: Timing | None = None
    #: Measured.
    efficiency: float | None = None
    #: Bytes each GPU sends per block, and how long that takes by the model.
    sent: int = 0
    exchange: float | None = None
    #: With the modelled exchanges: all of them waited for, or partly hidden.
    with_exchange: float | None = None
    with_overlap: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class RankResults:
    """The rows, what they were measured on and which links were assumed."""

    machine: Machine
    shape: str
    dtype: str
    cluster: str
    rows: tuple[RankRow, ...]
    notes: tuple[str, ...] = ()
    label: str = LABEL

    def to_json(self) -> str:
        """Return the results as JSON."""
        whole = {"schema": SCHEMA, **dataclasses.asdict(self)}
        return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def layout(gpus: int, heads: int) -> tuple[int, int]:
    """Return guidance groups and ranks per exchange: a rank needs a head.

    Raise ValueError for more than two GPUs per head, or where heads do not divide.
    """
    ranks = min(gpus, heads)
    if gpus < 1 or heads % ranks or gpus not in (ranks, 2 * ranks):
        raise ValueError(
            f"{gpus} GPUs cannot share {heads} heads; give divisors of it, or "
            f"{2 * heads} for two groups, one per half of the guidance"
        )
    return gpus // ranks, ranks
