"""What the model of scaling stands on: every figure with its label and its source."""

# L token, D hidden, N branch, P GPU

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from worldweave_kernels.bench.communication import (
    GB200,
    H200,
    OVERLAP,
    Cluster,
    Figure,
    Link,
)
from worldweave_kernels.bench.rank_block import COSMOS_7B, BlockShape


@dataclass(frozen=True)
class Work:
    """A request: a network, and how often it is evaluated for one video.

    latent: channels, frames, rows and columns of what is denoised.
    """

    branches: int = 4
    steps: int = 35
    guided: bool = True
    shape: BlockShape = COSMOS_7B
    blocks: int = 28
    control_blocks: int = 3
    latent: tuple[int, int, int, int] = (16, 16, 88, 160)

    @property
    def evaluations(self) -> int:
        """One for each step and one at the end, of both halves of guidance."""
        return self.steps + 1

    @property
    def latent_bytes(self) -> int:
        """Bytes of a latent in float32, as it is sampled and exchanged."""
        channels, frames, rows, columns = self.latent
        return 4 * channels * frames * rows * columns


@dataclass(frozen=True)
class Gpu:
    """What one GPU reaches, and how many of a node take part."""

    cluster: Cluster
    node: int
    products: Figure
    attention: Figure
    bandwidth: Figure
    #: Of the rates of products and attention, what a run really reaches.
    efficiency: Figure
    #: Operations a second of autoencoder and text encoder, all they need counted.
    autoencoder: Figure
    #: Between nodes, where the cluster's own model has no such link.
    beyond: Link

    @property
    def name(self) -> str:
        return self.cluster.name


class Published(NamedTuple):
    """A column of the paper's Table 5: seconds."""

    gpus: int
    diffusion: float
    whole: float


PAPER_SOURCE = "Cosmos-Transfer1, arXiv 2503.14492, Table 5: B200 in GB200 NVL72"
#: 5 seconds of 720p.
PAPER = (
    Published(1, 141.0, 141.7),
    Published(4, 39.3, 40.0),
    Published(8, 20.1, 20.8),
    Published(16, 10.3, 11.0),
    Published(32, 5.4, 6.1),
    Published(64, 3.5, 4.2),
)
#: What the paper ran, as far as it tells; branches and steps are assumed.
PAPER_WORK = Work()

#: Operations of the official autoencoder for 121 frames of 1280x704 and of its text
#: encoder for one prompt. `worldweave plan` counts the same; a test compares them.
ENCODE, DECODE, TEXT = 35_671_845_454_080, 61_286_396_723_200, 5_360_119_185_408
#: Bytes of the decoded video in bfloat16.
VIDEO = 121 * 704 * 1280 * 3 * 2


def around_flops(work: Work) -> tuple[int, int]:
    """Return the operations of the autoencoder, and of the text encoder.

    A video is encoded for each control, and one is decoded.
    """
    return work.branches * ENCODE + DECODE, TEXT * (2 if work.guided else 1)


_BETWEEN_ROWS = "counted operations over the 0.7 s between the two rows of the paper"
_AROUND_GB200 = sum(around_flops(PAPER_WORK)) / (PAPER[0].whole - PAPER[0].diffusion)

GPUS: Mapping[str, Gpu] = {
    "H200": Gpu(
        H200,
        node=8,
        products=Figure(790e12, "FLOP/s", "published", "one H200, by others"),
        attention=Figure(
            620e12, "FLOP/s", "published", "FlashAttention 3, pytorch/benchmark#2391"
        ),
        bandwidth=Figure(4.3e12, "B/s", "published", "one H200, by others"),
        efficiency=Figure(1.0, "", "assumed", "there is no run to fit it to"),
        autoencoder=Figure(
            _AROUND_GB200 * 790 / 1600, "FLOP/s", "assumed",
            "that of GB200, by the rates of products",
        ),
        beyond=H200.across or H200.inside,
    ),
    "GB200": Gpu(
        GB200,
        node=64,
        products=Figure(1.6e15, "FLOP/s", "assumed", "two thirds of the data sheet"),
        attention=Figure(
            1.4e15, "FLOP/s", "assumed", "FlashAttention 4 is said to reach 1.6e15"
        ),
        bandwidth=Figure(7e12, "B/s", "assumed", "of 8 TB/s on the data sheet"),
        efficiency=Figure(1.0, "", "assumed", "not yet fitted"),
        autoencoder=Figure(_AROUND_GB200, "FLOP/s", "published", _BETWEEN_ROWS),
        beyond=H200.across or H200.inside,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Assumptions:
    """What both designs are computed with, whatever the GPU.

    gap, graph_gap: seconds between two kernels of eager torch, and of a CUDA graph.
    host: seconds of the host for an eager operation. overlap, one_head: the share of
    an exchange that is hidden where a rank has several heads, and where it has one.
    Passes are of (N, D), read or written once, in a block; copies are for an exchange.
    sampling: operations of a step. halo: exchanges of the autoencoder for one video.
    """

    gap: Figure
    graph_gap: Figure
    host: Figure
    overlap: Figure
    one_head: Figure
    plain_passes: Figure
    our_passes: Figure
    plain_copies: Figure
    our_copies: Figure
    shared_copies: Figure
    ring_copies: Figure
    sampling: Figure
    halo: Figure


ASSUMED = Assumptions(
    gap=Figure(0.0, "s", "assumed", "not yet fitted"),
    graph_gap=Figure(1e-6, "s", "assumed", "between kernels of a CUDA graph"),
    host=Figure(10e-6, "s", "assumed", "an eager operation, on the host"),
    overlap=OVERLAP,
    one_head=Figure(
        0.0, "", "assumed",
        "one head has no chunks, and values that leave early cost what they hide",
    ),
    plain_passes=Figure(
        54, "passes", "assumed",
        "our count of an eager block whose norms and rotary positions are fused",
    ),
    our_passes=Figure(
        33, "passes", "assumed",
        "our count of bench/rank_block.py: 12 norms and gates, 6 packing, 2 norm of "
        "the text's queries, 5 last gate, 8 GELU",
    ),
    plain_copies=Figure(
        8, "passes", "assumed", "our count: 4 copies for q, k, v and the answer"
    ),
    our_copies=Figure(
        2, "passes", "assumed", "our count: heads of the answer beside one another"
    ),
    shared_copies=Figure(
        6, "passes", "assumed", "our count: q, k, v of several blocks side by side"
    ),
    ring_copies=Figure(
        4, "passes", "assumed", "our count: k and v out of what was packed"
    ),
    sampling=Figure(
        80, "operations", "assumed", "a step of the sampler on the whole latent, eager"
    ),
    halo=Figure(
        120, "exchanges", "assumed", "edges of rows and sums of norms, of one video"
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Design:
    """What is done about the GPUs. Without any of it: the plain design."""

    split_keys: bool = False
    packed: bool = False
    fused: bool = False
    overlapped: bool = False
    shared: bool = False
    fused_add: bool = False
    graph: bool = False
    rows: bool = False


PLAIN, OURS = Design(), Design(*[True] * 8)
DESIGNS = {"plain": PLAIN, "ours": OURS}

#: In the order in which `ablation` adds them.
STEPS = {
    "split_keys": "keys of few heads in shares",
    "packed": "q, k and v in one packed exchange",
    "fused": "pointwise work fused",
    "overlapped": "exchanges partly hidden",
    "shared": "base and branches attend at once",
    "fused_add": "weighted sum fused",
    "graph": "CUDA graph",
    "rows": "autoencoder shared by rows",
}


def told(whole: object, of: str = "") -> Iterator[tuple[str, Figure]]:
    """Yield the name and value of each figure in a dataclass of such, parts inside."""
    if not dataclasses.is_dataclass(whole):
        return
    for field in dataclasses.fields(whole):
        value = getattr(whole, field.name)
        name = f"{of} {field.name}".strip().replace("_", " ")
        if isinstance(value, Figure):
            yield name, value
        else:
            yield from told(value, name)
