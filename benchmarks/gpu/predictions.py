"""What was said of an H200 before anything was measured on one, and what refutes it.

Written before the first run; never changed after it, only added to. Aims are what the
project wants of its kernels, predictions what the model says they will do.
"""

# L token, D hidden, H head, N branch, U rank; one pass reads or writes L * D bfloat16

from __future__ import annotations

from typing import NamedTuple

from worldweave_kernels import roofline
from worldweave_kernels.bench import communication
from worldweave_kernels.bench.rank_block import COSMOS_7B

#: Milliseconds of one pass at the rate at which one H200 copied before this project.
PASS = COSMOS_7B.tokens * COSMOS_7B.hidden * 2 / roofline.H200.bandwidth * 1e3
_PASSES = roofline.PASSES["weighted_add"]


class Prediction(NamedTuple):
    """A number that the measurement of the same key hits, or misses.

    A key may have two: what the model predicts, and what the project aims at.
    """

    key: str
    what: str
    #: The measurement hits from *low* to *high*; None is open.
    low: float | None
    high: float | None
    unit: str
    source: str
    #: What a miss would tell, and what is done then.
    refutes: str
    is_aim: bool = False

    def holds(self, value: float) -> bool:
        """Whether *value* lies where it was said to. Not a number does not."""
        above = self.low is None or value >= self.low
        below = self.high is None or value <= self.high
        return value == value and above and below

    @property
    def said(self) -> str:
        """The expected range in words."""
        if self.low is not None and self.high is not None:
            if self.low == self.high:
                return f"{self.low:g} {self.unit}".strip()
            return f"{self.low:g} to {self.high:g} {self.unit}".strip()
        if self.low is not None:
            return f"at least {self.low:g} {self.unit}".strip()
        return f"at most {self.high:g} {self.unit}".strip()


def _passes(count: float, slack: float = 1.15) -> tuple[float, float]:
    """Return the milliseconds of *count* passes at the copy's rate, and with slack.

    The rate itself is known to 5 %.
    """
    return round(0.95 * count * PASS, 3), round(slack * count * PASS, 3)


def _fill(heads: int, *, splits: int = 1) -> float:
    """Return the share of an H200 that attention of so many heads keeps busy."""
    return communication.attention_fill(
        COSMOS_7B.tokens, heads, communication.H200, splits=splits
    )


def _rate(heads: int) -> float:
    """Return the rate of so many heads over that of all, by whole waves."""
    return _fill(heads) / _fill(COSMOS_7B.heads)


#: What two shares of the keys gain for one head, and three, and 4 % either way.
_SPLIT_GAIN = (
    round(_fill(1, splits=2) / _fill(1) - 0.04, 2),
    round(_fill(1, splits=3) / _fill(1) + 0.04, 2),
)
_GOAL = "the goal this package was given"
_ROOFLINE = "bytes over the copy's rate"
_WAVES = "whole waves of 128-row tiles on 132 multiprocessors"
_PARALLEL = "attention 71 % and products 29 % of a block, each by its last wave"

CORRECT = (
    Prediction(
        "agreement.missed", "outputs and gradients beyond their tolerance", 0, 0, "",
        "the same samples pass in Triton's interpreter",
        "a kernel is right in the interpreter only: its times count for nothing",
    ),
    Prediction(
        "bits.changed", "operations whose bits change from run to run", 0, 0, "",
        "no kernel uses float atomics in a sum",
        "replaying a request gives another video",
    ),
    Prediction(
        "pytest.failed", "failing tests: those marked gpu, and a few forward", 0, 0,
        "", "the forward ones pass interpreted; those marked gpu never ran",
        "as above",
    ),
    Prediction(
        "memcheck.errors", "accesses that compute-sanitizer's memcheck refuses", 0, 0,
        "", "masks are tried on outputs full of NaN in the interpreter",
        "a mask is wrong where the interpreter cannot see it",
    ),
    Prediction(
        "racecheck.hazards", "races in shared memory that its racecheck finds", 0, 0,
        "", "the kernels leave shared memory to Triton",
        "a compiler's error, or a tool that does not know TMA's barriers",
    ),
    Prediction(
        "ceiling.copy", "copy", 3.9, 4.6, "TB/s", "one H200 reached 4.3",
        "all floors in milliseconds scale with it",
    ),
    Prediction(
        "ceiling.product", "bfloat16 product on random values", 720, 840, "TFLOP/s",
        "one H200 reached 769 to 798", "floors of attention and products scale with it",
    ),
)  # fmt: skip

WEIGHTED_ADD = (
    *(
        Prediction(
            f"weighted_add.forward.N{n}.triton", f"weighted_add forward, N={n}",
            *_passes(_PASSES["fused"](n)), "ms",
            f"{_ROOFLINE}, {_PASSES['fused'](n)} passes, and 15 %",
            "the kernel does not stream: look at its loads first",
        )
        for n in (1, 2, 4, 6)
    ),
    Prediction(
        "weighted_add.forward.N4.official", "the official chain, N=4",
        *_passes(_PASSES["official"](4), 1.1), "ms",
        f"{_PASSES['official'](4)} passes, counted",
        "it is not memory-bound, or torch fuses more than was counted",
    ),
    Prediction(
        "weighted_add.backward.N4.triton", "weighted_add backward, N=4",
        *_passes(9), "ms", "9 passes, and 15 %",
        "the backward reads more than it should",
    ),
    Prediction(
        "weighted_add.forward.N4.compile_over_triton", "compile's time over Triton's",
        0.9, 1.1, "x", "Inductor makes one kernel of 6.01 passes, too",
        "above: our kernel earns its keep; below: Inductor schedules better, copy it",
    ),
    *(
        Prediction(
            f"weighted_add.forward.N{n}.over_official",
            f"speed-up over official, N={n}",
            round(0.87 * official / fused, 2), round(1.05 * official / fused, 2), "x",
            f"{official} passes over {fused}, less the 15 %: no four times below N=4",
            "either side is not bound by memory",
        )
        for n in (1, 2, 4, 6)
        for official, fused in ((_PASSES["official"](n), _PASSES["fused"](n)),)
    ),
    *(
        Prediction(
            f"weighted_add.forward.N{n}.share_of_copy", f"of the copy's rate, N={n}",
            0.9, None, "", _GOAL, "blocks are too small or too large", is_aim=True,
        )
        for n in (1, 2, 4, 6)
    ),
    *(
        Prediction(
            f"weighted_add.forward.N{n}.over_{other}", f"speed-up over {other}, N={n}",
            low, None, "x", _GOAL, why, is_aim=True,
        )
        for n in (1, 2, 4, 6)
        for other, low, why in (
            ("official", 4.0, "fewer passes are saved with one branch than with four"),
            # Two runs of the same kernel differ by about this much.
            ("compile", 0.98, "torch.compile does, then the model should use that"),
        )
    ),
)  # fmt: skip

ATTENTION = (
    Prediction(
        "attention.H32.best", "32 heads, the fastest installed backend", 66, 110, "ms",
        "52 TFLOP at 480 (Triton class) to 790 TFLOP/s; FA3 class 81 to 84",
        "another number of operations, or the clock was throttled",
    ),
    *(
        Prediction(
            f"attention.H{heads}.fill", f"rate of {heads} heads over that of 32",
            round(_rate(heads) - 0.04, 2), round(_rate(heads) + 0.04, 2), "", _WAVES,
            "waves are not what costs; with one head as fast as many, split-KV and the "
            "12.7 % it should save on 64 GPUs are dropped",
        )
        for heads in (1, 2, 4, 8)
    ),
    *(
        Prediction(
            f"attention.H1.split{splits}", f"1 head, keys split in {splits}, speed-up",
            *_SPLIT_GAIN, "x", "a full last wave: 14 to 20 %",
            "split-KV does not pay: it is dropped",
        )
        for splits in (2, 3)
    ),
    Prediction(
        "attention.H32.auto_over_best", "time of backend=auto over the fastest backend",
        None, 1.02, "x", _GOAL, "the order of preference is wrong", is_aim=True,
    ),
    Prediction(
        "attention.H32.triton_rate", "Triton's rate over the fastest backend's",
        0.6, None, "", _GOAL, "the fallback needs another configuration",
        is_aim=True,
    ),
)  # fmt: skip

BLOCK = (
    Prediction(
        "pointwise.eager", "all pointwise of a block, plain eager",
        *_passes(119, 1.2), "ms", "119 passes, counted on shapes alone",
        "CUDA's torch fuses more or less than was counted",
    ),
    Prediction(
        "pointwise.compile", "the same, torch.compile", *_passes(27, 1.5), "ms",
        "34.6 passes in 7 kernels by Inductor's schedule for a CPU; 3.7",
        "the schedule for a GPU is another",
    ),
    Prediction(
        "pointwise.fused", "the same, fused operations", *_passes(30, 1.3), "ms",
        "33 passes, GELU (8) and the last residual (5) in plain torch; 2.0 would need "
        "GELU in the product's epilogue, which is not built",
        "a kernel does not stream",
    ),
    Prediction(
        "pointwise.speedup", "fused over plain eager", 2.5, None, "x", _GOAL,
        "torch's own fused norms have caught up", is_aim=True,
    ),
    Prediction(
        "block.eager", "DiT-7B block, eager form", 110, 145, "ms",
        "115.5 of products and attention, 12.8 pointwise",
        "attention or products are not what was assumed",
    ),
    Prediction(
        "block.speedup_with_one_attention",
        "block, fused over eager form, both with our attention", 1.05, 1.11, "x",
        "(115.5 + 12.8) / (115.5 + 3.5): the aim below asks for more than this model "
        "gives without another attention", "the model of the pointwise share is wrong",
    ),
    Prediction(
        "block.speedup", "block, fused over eager form, each with its own attention",
        1.15, None, "x", f"{_GOAL}; block.attention_part tells what of it is "
        "torch's choice of attention over ours",
        "pointwise is a smaller share than the aim assumed", is_aim=True,
    ),
)  # fmt: skip

RANKS = (
    *(
        Prediction(
            f"ranks.U{ranks}.efficiency", f"compute efficiency, U={ranks}, graph",
            round(share - 0.05, 2), min(1.02, round(share + 0.05, 2)), "", _PARALLEL,
            "small kernels cost more, or less, than their last wave",
        )
        for ranks, share in ((2, 0.99), (4, 0.98), (8, 0.95), (16, 0.94), (32, 0.92))
    ),
    Prediction(
        "ranks.U32.eager_over_graph", "eager time over that of a graph, U=32",
        0.98, 1.10, "x", "a block's 45 launches of 5 to 10 us hide behind 3.6 ms",
        "above: the host is what limits, graphs are a must at this size already",
    ),
)  # fmt: skip

CONTROL = (
    Prediction(
        "control_inject.full", "linear and weighted_add over control_inject, N=4",
        0.85, 1.09, "x",
        "it saves up to 0.87 of 10.2 ms where its product is as fast as cuBLAS; a "
        "Triton product reaches 80 to 95 % of that",
        "above 1.02 somewhere: keep it; else it goes",
    ),
    Prediction(
        "control_inject.U32", "the same on the rows of one of 32 ranks",
        0.85, 1.15, "x", "as above, and 4 launches fewer", "as above",
    ),
)  # fmt: skip

_NO_WIRE = "gloo computes the same on a CPU, on 1 to 8 ranks"

#: Gains are of compute alone, by graphs. Below what would cost as much as the exchange
#: that the model hides or saves, at most, a switch does not pay.
SHARING = (
    *(
        Prediction(
            f"nccl.{op}", f"{what}, of one process, through NCCL: error", None, 1,
            "of its tolerance", _NO_WIRE,
            "a layout, or a stream that is not waited for: nothing else counts",
        )
        for op, what in (
            ("sequence_attention", "attention with one exchange there and back"),
            ("early_attention", "attention with values sent early"),
        )
    ),
    *(
        Prediction(f"nccl.{key}.changed", what, 0, 0, "", source, refutes)
        for key, what, source, refutes in (
            ("gather", "tokens gathered through NCCL that change", _NO_WIRE,
             "the output of an evaluation is wrong"),
            ("broadcast", "tensors broadcast on CPU and GPU that change", _NO_WIRE,
             "noise, prompts or the plan of the first rank do not reach the others"),
            ("groups", "sums in groups of ranks that change", _NO_WIRE,
             "the groups of a mesh cannot be made beside one for the CPU"),
            ("ring", "keys and values handed on to oneself that change", _NO_WIRE,
             "the ring is wrong, or NCCL hands nothing to oneself"),
            ("graph", "outputs that change where a graph holds the exchanges",
             "NCCL can be recorded, and is warmed before",
             "cuda_graph is refused for several ranks"),
        )
    ),
    Prediction(
        "nccl.exchange.graph", "an exchange of 4 kB with oneself, in a graph", 1, 15,
        "us", "the model charges 15 for the first byte over a wire, too (assumed)",
        "the model's exchanges cost too little: shared ones gain more",
    ),
    Prediction(
        "graphs.failed", "failing tests of evaluations by graphs", 0, 0, "",
        "they pass on a CPU with calls in place of graphs",
        "something decides on the host by what a GPU computes",
    ),
    Prediction(
        "switch.U8.chunks_2.gain", "chunks of 2 heads, U=8", 0.97, 1.01, "x",
        "as many waves, 2 times 7 for 14; pays above 0.98: 0.29 ms of exchange are "
        "hidden at most", "below: the default stays one chunk",
    ),
    Prediction(
        "switch.U8.chunks_4.gain", "chunks of 1 head, U=8", 0.93, 1.00, "x",
        "keys in two shares keep waves full, and partial results are merged; pays "
        "above 0.97: 0.43 ms are hidden at most", "below: never one head a chunk",
    ),
    *(
        Prediction(
            f"switch.U{ranks}.early_values.gain", f"early values, U={ranks}",
            low, 0.98, "x",
            "56 passes more, counted: norm and rotation of k and q are not one with "
            f"the packing; pays above {pays}: {hidden} ms are hidden at most",
            "above: worth it within a node; below what pays: fuse norm and rotation "
            "of one tensor first",
        )
        for ranks, low, pays, hidden in ((8, 0.92, 0.98, 0.29), (32, 0.90, 0.89, 0.48))
    ),
    *(
        Prediction(
            f"switch.U{ranks}.shared_exchange.gain",
            f"base and 4 control blocks in one exchange over one by one, U={ranks}",
            0.99, high, "x", source,
            "below: copies side by side cost more than full waves save; pays above "
            f"{pays}: 0.12 ms of latency are saved",
        )
        for ranks, high, pays, source in (
            (8, 1.05, 0.998, "67 waves of attention for 5 times 14, less 0.5 % copies"),
            (32, 1.10, 0.994, "17 waves for 5 times 3.5 with split keys, or 5 times 4"),
        )
    ),
    Prediction(
        "switch.U32.keys_in_one_share.gain", "keys in one share, U=32",
        0.88, 0.99, "x", "4 waves of attention for 3.5, which is two thirds of a block",
        "above: split-KV does not pay, it is dropped",
    ),
)  # fmt: skip

#: By stage.
PREDICTIONS: dict[int, tuple[Prediction, ...]] = {
    1: CORRECT,
    2: WEIGHTED_ADD,
    3: ATTENTION,
    4: BLOCK,
    5: RANKS,
    6: CONTROL,
    7: SHARING,
}
