"""How the ranks of one request share its work."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ParallelPlan:
    """A mesh (cfg, ring, ulysses) of ranks, the last axis innermost, and switches.

    cfg: 2 where the two halves of guidance are computed at once, else 1. ulysses:
    ranks that exchange tokens for heads around each self-attention (arXiv 2309.14509);
    they divide the heads. ring: groups of those that hand keys and values round (arXiv
    2310.01889). Every rank holds the whole model; the tokens of one evaluation are
    shared by ring * ulysses ranks, all work but self-attention is done where they are.

    Switches, none of which changes a result by more than rounding. chunks: pieces that
    the heads of a rank are cut into, one exchanged while another is attended to; with
    a ring they are exchanged and attended to in turn, and gain nothing.
    early_values: values leave before keys and queries are projected, which costs two
    exchanges more. shared_exchange: the base's block and those of the branches at its
    depth attend in one exchange. cuda_graph: what an evaluation launches is recorded
    once and replayed.

    Raise ValueError where a number is less than one, cfg more than two, or a switch
    cannot be what it is.
    """

    cfg: int = 1
    ring: int = 1
    ulysses: int = 1
    chunks: int = 1
    early_values: bool = False
    shared_exchange: bool = True
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {count}; give a whole number, 1 or more"
            for name in ("cfg", "ring", "ulysses", "chunks")
            if not isinstance(count := getattr(self, name), int) or count < 1
        ]
        if not problems and self.cfg > 2:
            problems.append(
                f"cfg is {self.cfg}, but guidance has two halves; give 1 or 2"
            )
        if problems:
            raise ValueError("\n".join(problems))

    @property
    def world(self) -> int:
        """All ranks."""
        return self.cfg * self.sequence

    @property
    def sequence(self) -> int:
        """The ranks that share the tokens of one evaluation."""
        return self.ring * self.ulysses

    @classmethod
    def auto(
        cls,
        world: int,
        heads: int,
        guidance: bool,
        node_size: int = 8,
        *,
        tokens: int | None = None,
        **switches: bool | int,
    ) -> ParallelPlan:
        """Return the plan for *world* ranks, or for the most below that fit.

        Guidance is split first, where it is asked for and the ranks are even: it costs
        one small exchange a step. Then heads, within a node of *node_size* ranks joined
        by a fast link; what is left becomes a ring. tokens: of one evaluation, where
        known; a rank needs one at least. Compare `world` of the result: where it is
        less, the ranks beyond it have nothing to do. Raise ValueError where a number
        is less than one.
        """
        for name, count in (("world", world), ("heads", heads), ("node", node_size)):
            if count < 1:
                raise ValueError(f"{name} is {count}; give 1 or more")
        cfg = 2 if guidance and world % 2 == 0 else 1
        sequence = world // cfg
        if tokens is not None and sequence > tokens:
            fewer = (2 if guidance and world > 1 else 1) * max(tokens, 1)
            return cls.auto(
                min(world - 1, fewer), heads, guidance, node_size,
                tokens=tokens, **switches,
            )  # fmt: skip
        ulysses = _most_heads(sequence, heads, node_size, world)
        return cls(cfg=cfg, ring=sequence // ulysses, ulysses=ulysses, **switches)  # type: ignore[arg-type]

    def refuse_misfit(self, heads: int, tokens: int | None = None) -> None:
        """Raise ValueError where a model of *heads* cannot be shared so."""
        problems = []
        if heads % self.ulysses:
            problems.append(
                f"ulysses is {self.ulysses}, which does not divide {heads} heads; give "
                f"{math.gcd(self.ulysses, heads)} and the rest as ring"
            )
        elif heads // self.ulysses % self.chunks:
            own = heads // self.ulysses
            problems.append(
                f"chunks is {self.chunks}, which does not divide the {own} "
                f"head{'s' if own > 1 else ''} of a rank; give "
                f"{math.gcd(own, self.chunks)}"
            )
        if tokens is not None and self.sequence > tokens:
            problems.append(
                f"{self.sequence} ranks cannot share {tokens} tokens; give at most "
                f"{tokens}"
            )
        if problems:
            raise ValueError("\n".join(problems))

    def alone(self) -> ParallelPlan:
        """Return the same switches for one rank."""
        return dataclasses.replace(self, cfg=1, ring=1, ulysses=1)

    def __str__(self) -> str:
        told = f"cfg {self.cfg} x ring {self.ring} x ulysses {self.ulysses}"
        on = [f"chunks {self.chunks}"] if self.chunks > 1 else []
        on += ["early values"] if self.early_values else []
        on += [] if self.shared_exchange else ["an exchange for each branch"]
        on += ["CUDA graph"] if self.cuda_graph else []
        return ", ".join([told, *on])


def _most_heads(sequence: int, heads: int, node_size: int, world: int) -> int:
    """Return the largest group for heads whose members lie in one node."""
    return max(
        count
        for count in range(1, sequence + 1)
        if sequence % count == 0
        and heads % count == 0
        # Ranks fill node after node: a group that divides a node is never cut.
        and (world <= node_size or node_size % count == 0)
    )
