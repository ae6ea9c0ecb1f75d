"""The model of scaling as text: tables, the aims, the fit, what it stands on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from worldweave_kernels.bench.communication import OVER_PREDICTION, PUBLISHED
from worldweave_kernels.bench.scaling_figures import (
    PAPER,
    PAPER_SOURCE,
    PAPER_WORK,
    told,
)
from worldweave_kernels.bench.scaling_fit import Fit
from worldweave_kernels.bench.scaling_study import (
    AT,
    SERIAL_AIM,
    SPEEDUP_AIM,
    Line,
    Scaling,
)

WIDTH = 100
_PAPER = {row.gpus: row for row in PAPER}
_LEFT_OUT = (
    "Left out: stragglers, congestion, clocks that fall under load, the host's other "
    "work, patches in and out, loading, guardrails, reading and writing of videos."
)
_COLUMNS = (
    "Seconds of the whole request, of the rank that is done last. Compute: at the "
    "rates of a full GPU, equally shared. Imbalance: waves of products and attention "
    "that are not full, padding, partial results, and what every rank repeats (keys "
    "and values of the text, modulation); branches add none, each is shared by all "
    "ranks. Exchange: what is waited for, of all (copies for it included). Launches: "
    "gaps between kernels, and what the host is late with. Serial: sampling, guidance, "
    "gathering, text, autoencoder. Diffusion: all but text and autoencoder. The "
    "five columns from compute to serial add up to end to end. x: against one GPU of "
    "the same design. Kept: the share of all GPUs that diffusion does not lose."
)


def report(found: Sequence[Scaling]) -> str:
    """Return everything as Markdown."""
    work = found[0].setting.work
    has_measured = any(
        line.label.startswith("measured")
        for one in found
        for rows in one.lines.values()
        for line in rows
    )
    least, most = OVER_PREDICTION
    head = (
        "Scaling on paper: a model, with what was measured on one GPU where it is said "
        "so. "
        if has_measured
        else "Scaling on paper: a model. Nothing here was measured. "
    )
    head += (
        f"A 5-second 720p video: {work.shape.tokens} tokens, {work.branches} control "
        f"branches at every step, guidance, {work.steps} steps and one evaluation "
        "more. Every speed-up is a ceiling: against "
        f"{len(PUBLISHED)} runs on 8 GPUs that others published, such a model "
        f"promised {least:.0%} to {most:.0%} too much."
    )
    blocks = [_wrapped(head), _wrapped(_COLUMNS)]
    for one in found:
        blocks += list(_of_cluster(one))
    blocks += [_fit(found[0]), _wrapped(_LEFT_OUT)]
    return "\n\n".join(blocks) + "\n"


def _of_cluster(one: Scaling) -> Iterator[str]:
    gpu = one.setting.gpu
    node = f"nodes of {gpu.node}" if gpu.name == "H200" else "NVL72, 64 of a rack"
    blocks = one.setting.blocks
    for design, rows in one.lines.items():
        told_of = "; plain is modelled" if blocks and design == "plain" else ""
        yield f"### {gpu.name} ({node}): {_called(design)}{told_of}"
        yield _table(one, rows)
    yield f"### {gpu.name}: the aims, by the model"
    yield "\n".join(
        textwrap.fill(f"* {_aim(each)}", WIDTH, subsequent_indent="  ")
        for each in aims(one)
    )
    yield f"### {gpu.name}: what 64 GPUs become if it is otherwise"
    yield _sensitivity(one)
    steps = "one thing after another" + (", all modelled" if blocks else "")
    yield f"### {gpu.name}: from plain to ours on 64 GPUs, {steps}"
    yield _ablation(one)
    yield f"### {gpu.name}: what it stands on"
    yield "\n".join(
        textwrap.fill(f"* {name}: {figure}", WIDTH, subsequent_indent="  ")
        for name, figure in [*told(gpu), *told(one.setting.figures)]
    )


def _called(design: str) -> str:
    return {
        "plain": "plain, the paper's design",
        "ours": "ours, all switches on where they gain",
    }[design]


def _table(one: Scaling, rows: Sequence[Line]) -> str:
    head = [
        "GPUs", "cfg x ring x ulysses", "compute", "imbalance", "exchange",
        "launches", "serial", "diffusion", "end to end", "x", "end to end x", "kept",
    ]  # fmt: skip
    is_paper_s = one.name == "GB200"
    if is_paper_s:
        head.append("paper: diffusion, end to end")
    head.append("figures")
    table = [head, ["---"] * len(head)]
    for line in rows:
        spent, plan = line.told.network, line.told.plan
        cells = [
            str(line.gpus),
            f"{plan.cfg} x {plan.ring} x {plan.ulysses}",
            _seconds(spent.compute), _seconds(spent.imbalance),
            f"{_seconds(spent.exposed)} of {_seconds(spent.exchange)}",
            _seconds(spent.launches), _seconds(line.told.remainder),
            _seconds(line.told.diffusion), _seconds(line.told.whole),
            f"{line.speedup:.1f}", f"{line.whole_speedup:.1f}", f"{line.kept:.0%}",
        ]  # fmt: skip
        if is_paper_s:
            cells.append(_published(line.gpus))
        table.append([*cells, line.label])
    return _markdown(table)


def _published(gpus: int) -> str:
    row = _PAPER.get(gpus)
    if row is None:
        return "-"
    speedup = PAPER[0].diffusion / row.diffusion
    whole = PAPER[0].whole / row.whole
    return f"{row.diffusion} ({speedup:.1f}x), {row.whole} ({whole:.1f}x)"


def aims(one: Scaling) -> list[dict[str, Any]]:
    """Return each aim, what the model says, and whether it is reached."""
    plain, ours = one.at["plain"], one.at["ours"]
    low, high = ours.ranged()
    serial = ours.told.remainder
    told_ = [
        {
            "aim": f"at least {SPEEDUP_AIM:g}x on {AT} GPUs, diffusion",
            "ours": ours.speedup,
            "plain": plain.speedup,
            "is_reached": ours.speedup >= SPEEDUP_AIM,
            "told": f"ours {ours.speedup:.1f}x, plain {plain.speedup:.1f}x "
            f"{_under(one)}{_beside(one)}",
        },
        {
            "aim": f"the same, if the model promises {OVER_PREDICTION[0]:.0%} to "
            f"{OVER_PREDICTION[1]:.0%} too much",
            "ours": [low, high],
            "is_reached": low >= SPEEDUP_AIM,
            "is_reached_at_best": high >= SPEEDUP_AIM,
            "told": f"ours {low:.1f}x to {high:.1f}x",
        },
        {
            "aim": f"less than {SERIAL_AIM:g} s of {AT} GPUs serial",
            "ours": serial,
            "plain": plain.told.remainder,
            "is_reached": serial < SERIAL_AIM,
            "told": f"ours {serial:.3f} s ("
            + ", ".join(f"{n} {s:.3f}" for n, s in ours.told.serial._asdict().items())
            + f"), plain {plain.told.remainder:.3f} s",
        },
    ]
    return told_


def _under(one: Scaling) -> str:
    if one.setting.blocks:
        return "(plain is modelled, ours stands on measured blocks)"
    return "under the same figures"


def _beside(one: Scaling) -> str:
    if one.name != "GB200":
        return "; the paper has no such GPUs"
    alone = PAPER[0].diffusion
    return f", the paper {alone / _PAPER[64].diffusion:.1f}x"


def _aim(each: dict[str, Any]) -> str:
    verdict = "reached" if each["is_reached"] else "NOT reached"
    if not each["is_reached"] and each.get("is_reached_at_best"):
        verdict = "reached at the least of it, NOT at the most"
    return f"{each['aim']}: {verdict}. {each['told']}."


def _sensitivity(one: Scaling) -> str:
    head = [
        "assumption", "rates reached", "gap, us", "fit off by at most",
        "plain x, plain is modelled" if one.setting.blocks else "plain x",
        "ours x", "ours less over-prediction", "serial of ours, s",
    ]  # fmt: skip
    least, most = OVER_PREDICTION
    rows = [
        [
            case.what, f"{case.efficiency:.2f}", f"{1e6 * case.gap:.1f}",
            f"{case.worst:.1%}", f"{case.plain:.1f}", f"{case.ours:.1f}",
            f"{case.ours / (1 + most):.1f} to {case.ours / (1 + least):.1f}",
            f"{case.serial:.3f}",
        ]
        for case in one.sensitivity
    ]  # fmt: skip
    return _markdown([head, ["---"] * len(head), *rows])


def _ablation(one: Scaling) -> str:
    head = ["with", "diffusion, s", "changes by", "x", "end to end, s"]
    rows = []
    before = one.ablation[0].diffusion
    for step in one.ablation:
        change = step.diffusion / before - 1
        rows.append(
            [
                step.what, _seconds(step.diffusion),
                "-" if step is one.ablation[0] else f"{change:+.1%}",
                f"{step.speedup:.1f}", _seconds(step.whole),
            ]
        )  # fmt: skip
        before = step.diffusion
    return _markdown([head, ["---"] * len(head), *rows])


def _fit(one: Scaling) -> str:
    fit = one.setting.fit
    names = [
        f"{name} {figure.value:.3g}{unit}"
        for name, figure, unit in (
            ("the share of the assumed rates that is reached",
             fit.gpu.efficiency, ""),
            ("the gap between two kernels", fit.figures.gap, " s"),
        )
        if figure.label == "fitted"
    ]  # fmt: skip
    work = PAPER_WORK
    said = (
        f"{PAPER_SOURCE}. It tells neither branches nor steps; {work.branches} and "
        f"{work.steps} are assumed. Fitted to its diffusion, plain design: "
        f"{', '.join(names) or 'nothing'}.{_plausible(fit)}"
    )
    head = [
        "GPUs", "paper, s", "plain, s", "off by", "paper x", "plain x",
        "paper end to end, s", "plain end to end, s", "off by",
    ]  # fmt: skip
    rows = [
        [
            str(row.paper.gpus), str(row.paper.diffusion), _seconds(row.diffusion),
            f"{row.off_diffusion:+.1%}",
            f"{PAPER[0].diffusion / row.paper.diffusion:.1f}", f"{row.speedup:.1f}",
            str(row.paper.whole), _seconds(row.whole), f"{row.off_whole:+.1%}",
        ]
        for row in fit.residuals
    ]  # fmt: skip
    table = _markdown([head, ["---"] * len(head), *rows])
    return f"### The fit to the paper\n\n{_wrapped(said)}\n\n{table}"


def _plausible(fit: Fit) -> str:
    """Hold the rates that the fit says the paper reached against what is known."""
    gpu = fit.gpu
    if gpu.efficiency.label != "fitted":
        return ""
    attention, products = (
        rate.value * gpu.efficiency.value / 1e15
        for rate in (gpu.attention, gpu.products)
    )
    return (
        f" With that, attention runs at {attention:.2f} PFLOP/s, where FlashAttention "
        f"4 is said to reach 1.6 at its best, and products at {products:.2f}, where "
        f"{gpu.products.value / 1e15:.2g} ({gpu.products.source}) is assumed. So the "
        "paper may well have computed fewer branches or steps than is assumed here, "
        "and its kernels have been slower."
    )


def _seconds(count: float) -> str:
    """Return seconds to three digits, and not more than milliseconds of them."""
    if count >= 99.95:
        return f"{count:.0f}"
    return f"{count:.1f}" if count >= 9.995 else f"{count:.3g}" if count >= 1 else (
        f"{count:.3f}"
    )  # fmt: skip


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH)
