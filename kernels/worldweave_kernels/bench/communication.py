"""What exchanges between GPUs cost, by a model. Nothing in this file is measured.

Self-attention of a video DiT needs every token, all else in a block is local to its
token. With U ranks each holds L / U tokens and, between two all-to-alls, H / U heads
of all L tokens (Ulysses, arXiv 2309.14509): q, k and v go out in one exchange, the
answer comes back in another.

Read this before quoting a number. Against four runs that others published, of 8 GPUs, a
model of this kind over-predicts the speed-up by 13 % to 65 % (`OVER_PREDICTION`): take
it as a ceiling, and its order of variants for more than its level. It leaves out what
grows with the machine: stragglers, congestion, the host's own time, whatever is not
split (autoencoder, text encoder, guardrails).
"""

# L token, D hidden, H head, U rank of one exchange, M query row of one tile

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True)
class Figure:
    """A number the model stands on, and how far it can be trusted.

    assumed: nobody measured it for this use; published: the maker's or others' word;
    fitted: chosen so that a model agrees with published runs.
    """

    value: float
    unit: str
    label: Literal["assumed", "published", "measured", "fitted"]
    source: str

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.value:g}{unit} ({self.label}: {self.source})"


@dataclass(frozen=True)
class Link:
    """A way between GPUs. Bytes per second are those of one direction of one GPU."""

    name: str
    peak: Figure
    #: The share of the peak that an all-to-all reaches.
    reached: Figure
    #: Seconds before the first byte arrives, once per exchange.
    latency: Figure

    @property
    def rate(self) -> float:
        """Bytes per second a GPU sends through it."""
        return self.peak.value * self.reached.value


@dataclass(frozen=True)
class Cluster:
    """GPUs of one kind, *node* of them on one fast link, and how nodes are joined."""

    name: str
    node: int
    inside: Link
    #: None: a single node.
    across: Link | None
    multiprocessors: Figure
    #: Query rows that one program of the attention kernel computes.
    tile_rows: Figure


_NVLINK_SHARE = "no all-to-all was timed; other collectives reach about this"
_MAKER = "the maker's data sheet"

H200 = Cluster(
    name="H200",
    node=8,
    inside=Link(
        "NVLink 4",
        peak=Figure(450e9, "B/s", "published", _MAKER),
        reached=Figure(0.78, "", "assumed", _NVLINK_SHARE),
        latency=Figure(15e-6, "s", "assumed", "launch and first byte of a collective"),
    ),
    across=Link(
        "InfiniBand NDR",
        peak=Figure(45e9, "B/s", "assumed", "of the 50 GB/s of one card per GPU"),
        reached=Figure(1.0, "", "assumed", "it is in the peak already"),
        latency=Figure(15e-6, "s", "assumed", "as inside the node"),
    ),
    multiprocessors=Figure(132, "", "published", _MAKER),
    tile_rows=Figure(128, "rows", "assumed", "as FlashAttention-3 and our kernel"),
)

GB200 = Cluster(
    name="GB200",
    node=72,
    inside=Link(
        "NVLink 5",
        peak=Figure(900e9, "B/s", "published", _MAKER),
        reached=Figure(0.75, "", "assumed", _NVLINK_SHARE),
        latency=Figure(18e-6, "s", "assumed", "launch and first byte of a collective"),
    ),
    across=None,
    multiprocessors=Figure(148, "", "published", _MAKER),
    tile_rows=Figure(256, "rows", "assumed", "as FlashAttention-4, two tiles at once"),
)

CLUSTERS = {each.name: each for each in (H200, GB200)}

#: The part of an exchange that hides behind computing: values leave while queries and
#: keys are projected, and heads go in chunks. Optimistic where a rank has one head,
#: which has no chunks: state the result without overlap beside it.
OVERLAP = Figure(0.6, "", "assumed", "nothing was overlapped or timed")


class Published(NamedTuple):
    """Seconds of a run on one GPU and on eight, and what the model says they gain."""

    what: str
    source: str
    alone: float
    together: float
    modelled: float

    @property
    def over_prediction(self) -> float:
        """How much more the model promises: a share of the published speed-up."""
        return self.modelled * self.together / self.alone - 1


_XDIT = "xDiT, docs/performance"
_TRANSFER = "Cosmos-Transfer2.5, its table of inference times"

#: End to end, or of the diffusion alone, as their authors told them. A fuller model
#: made the prediction, with products and attention by whole waves.
PUBLISHED = (
    Published("HunyuanVideo 720p on 8 H100", _XDIT, 1904, 338, 7.70),
    Published("HunyuanVideo 720p on 8 H20", _XDIT, 6639, 941, 7.95),
    Published("Transfer2.5 edge on 8 B200", _TRANSFER, 179.7, 41.8, 7.10),
    Published("Transfer2.5 edge on 8 H100 NVL", _TRANSFER, 502.6, 92.5, 7.60),
)
#: The least and the most of them.
OVER_PREDICTION = (
    min(each.over_prediction for each in PUBLISHED),
    max(each.over_prediction for each in PUBLISHED),
)


def all_to_all_bytes(
    tokens: int, hidden: int, ranks: int, *, tensors: int = 4, itemsize: int = 2
) -> int:
    """Return the bytes a GPU sends in the exchanges of one self-attention layer.

    *tensors* of them, (L, D) over all ranks, are exchanged: q, k, v and the answer.
    A rank keeps one part in U of its L / U rows. Raise ValueError where *ranks* do not
    divide tokens and channels.
    """
    part = _divided(tokens, ranks, "tokens") * _divided(hidden, ranks, "channels")
    return tensors * part * itemsize * (ranks - 1)


def ring_bytes(tokens: int, hidden: int, ranks: int, *, itemsize: int = 2) -> int:
    """Return the bytes a GPU sends where keys and values go round a ring instead.

    Each rank hands U - 1 times on what it holds of k and v, (L / U, D) each. What an
    all-gather of k and v sends is the same.
    """
    held = 2 * _divided(tokens, ranks, "tokens") * hidden * itemsize
    return held * (ranks - 1)


def exchange_seconds(sent: float, ranks: int, cluster: Cluster) -> float:
    """Return how long one all-to-all takes in which each rank sends *sent* bytes.

    They go to all other ranks in equal parts; both links carry theirs at once, and
    ranks fill node after node. Raise ValueError where there is no way to so many.
    """
    if ranks == 1:
        return 0.0
    near = min(ranks, cluster.node) - 1
    far = ranks - 1 - near
    each = sent / (ranks - 1)
    inside = near * each / cluster.inside.rate + cluster.inside.latency.value
    if not far:
        return inside
    if cluster.across is None:
        raise ValueError(
            f"an exchange over {ranks} ranks, but the model joins at most "
            f"{cluster.node} {cluster.name}; exchange over fewer"
        )
    across = far * each / cluster.across.rate + cluster.across.latency.value
    return max(inside, across)


def layer_seconds(tokens: int, hidden: int, ranks: int, cluster: Cluster) -> float:
    """Return the seconds of both exchanges of a self-attention layer in bfloat16."""
    there, back = (
        all_to_all_bytes(tokens, hidden, ranks, tensors=tensors) for tensors in (3, 1)
    )
    return exchange_seconds(there, ranks, cluster) + exchange_seconds(
        back, ranks, cluster
    )


def exposed(seconds: float, overlap: float) -> float:
    """Return the part of *seconds* that computing does not hide."""
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap is {overlap}; it is a share, from 0 to 1")
    return seconds * (1 - overlap)


def efficiency(alone: float, together: float, ranks: int) -> float:
    """Return the share of U ranks that is not lost: t(1) / (U * t(U))."""
    return alone / (ranks * together)


def attention_fill(
    queries: int, heads: int, cluster: Cluster, *, splits: int = 1
) -> float:
    """Return the share of a GPU of *cluster* that an attention keeps busy.

    A program computes a tile of queries of one head; *splits* cuts the keys of each
    into as many programs.
    """
    tiles = math.ceil(queries / int(cluster.tile_rows.value)) * heads * splits
    return fill(tiles, int(cluster.multiprocessors.value))


def fill(tiles: int, multiprocessors: int) -> float:
    """Return the share of a GPU that equal tiles, one per multiprocessor, keep busy.

    The last wave is seldom full: 133 tiles on 132 multiprocessors take two waves.
    """
    if tiles < 1 or multiprocessors < 1:
        raise ValueError(
            f"{tiles} tiles on {multiprocessors} multiprocessors; give at least one "
            "of each"
        )
    return tiles / (math.ceil(tiles / multiprocessors) * multiprocessors)


def _divided(size: int, ranks: int, what: str) -> int:
    if ranks < 1:
        raise ValueError(f"{ranks} ranks; give at least one")
    if size % ranks:
        raise ValueError(f"{ranks} ranks do not divide {size} {what}; give a divisor")
    return size // ranks
