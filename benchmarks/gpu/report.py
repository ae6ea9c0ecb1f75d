"""The stages, and what was measured in them beside what was said of it."""

# The folder of a run holds stage-N.json; the report is made of them alone, so it can
# be made again, elsewhere, without a GPU.

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpu.following import follows
from gpu.predictions import PREDICTIONS, Prediction
from gpu.record import Ledger, Measured, Record

if TYPE_CHECKING:
    from gpu.record import Part
    from gpu.setting import Setting

#: Of what a dry run measured, before and after it.
BANNER = "*** A DRY RUN at toy sizes: its numbers mean nothing and are not judged ***"


class Stage(NamedTuple):
    """A stage of the plan, to be run by itself."""

    title: str
    #: Seconds it may take; all of them together stay below half an hour.
    limit: int
    #: Imported for this stage alone: what one lacks stops no other.
    module: str
    function: str = "parts"

    def parts(self, setting: Setting) -> list[Part]:
        """Return what is to be measured."""
        make = getattr(import_module(self.module), self.function)
        found: list[Part] = make(setting)
        return found


STAGES = {
    1: Stage("Ceilings, and whether it is right", 450, "gpu.correct"),
    2: Stage("weighted_add", 180, "gpu.branches", "adding"),
    3: Stage("Attention", 300, "gpu.attending"),
    4: Stage("Pointwise, and a whole block", 270, "gpu.block"),
    5: Stage("Virtual ranks", 150, "gpu.dividing"),
    6: Stage("Control branches", 90, "gpu.branches", "control"),
    7: Stage("What ranks share", 180, "gpu.sharing"),
}


class Verdict(NamedTuple):
    """A prediction, and the measurement of its key if there is one."""

    stage: int
    prediction: Prediction
    found: Measured | None
    is_begun: bool
    is_toy: bool = False

    @property
    def word(self) -> str:
        """hit, missed, not measured, dry run, or not run yet."""
        if not self.is_begun:
            return "not run yet"
        if self.is_toy:
            return "dry run"
        if self.found is None or math.isnan(self.found.value):
            return "not measured"
        return "hit" if self.prediction.holds(self.found.value) else "**missed**"


def measured(ledgers: dict[int, Ledger]) -> dict[str, Measured]:
    """Return all measurements by key, and those that follow from several."""
    found = {
        each.key: each for ledger in ledgers.values() for each in ledger.measured()
    }
    judged = [key for ledger in ledgers.values() for key in ledger.judged]
    return {each.key: each for each in follows(found, judged)} | found


def verdicts(ledgers: dict[int, Ledger]) -> list[Verdict]:
    """Return every prediction with what became of it."""
    found = measured(ledgers)
    return [
        Verdict(
            stage,
            prediction,
            found.get(prediction.key),
            stage in ledgers,
            stage in ledgers and is_toy(ledgers[stage]),
        )
        for stage, predictions in PREDICTIONS.items()
        for prediction in predictions
    ]


def failures(ledgers: dict[int, Ledger]) -> list[tuple[int, Record]]:
    """Return the parts that did not end well, with their stage."""
    return [
        (stage, record)
        for stage, ledger in ledgers.items()
        for record in ledger.records.values()
        if record.state != "done"
    ]


def is_toy(ledger: Ledger) -> bool:
    """Whether a ledger is that of a dry run."""
    return bool(ledger.machine.get("is_toy"))


def markdown(ledgers: dict[int, Ledger]) -> str:
    """Return the whole report."""
    lines = ["# Kernels on a GPU", ""]
    if any(map(is_toy, ledgers.values())):
        lines += [f"**{BANNER.strip('* ')}**", ""]
    for stage, ledger in ledgers.items():
        lines += [f"* Stage {stage}: {_machine(ledger)}"]
    lines.append("")
    judged = verdicts(ledgers)
    counts = Counter(each.word for each in judged)
    lines += [", ".join(f"{n} {word.strip('*')}" for word, n in counts.items()), ""]
    broken = failures(ledgers)
    if broken:
        lines += [f"{len(broken)} parts failed; they are told at the end.", ""]
    for stage, about in STAGES.items():
        lines += [f"## {stage}. {about.title}", "", *_predicted(judged, stage), ""]
        if stage in ledgers:
            lines += [*_all(ledgers[stage]), ""]
    lines += _broken(broken)
    return "\n".join(lines).rstrip() + "\n"


def lines(ledgers: dict[int, Ledger]) -> Iterator[str]:
    """Yield a line for each prediction of the stages that were begun in earnest."""
    for each in verdicts(ledgers):
        if each.is_begun and not each.is_toy:
            found = each.found
            value = "" if found is None else _number(found.value, found.unit)
            kind = "aimed at" if each.prediction.is_aim else "said"
            yield (
                f"{each.word.strip('*'):<13}{value:>14}  {each.prediction.what}; "
                f"{kind} {each.prediction.said}"
            )


def write(folder: Path) -> list[Path]:
    """Write report.md and report.json of *folder*; return them."""
    ledgers = read(folder)
    (folder / "report.md").write_text(markdown(ledgers), "utf-8")
    whole = [
        {
            **each.prediction._asdict(),
            "stage": each.stage,
            "verdict": each.word.strip("*"),
            "value": None if each.is_toy else _value(each.found),
        }
        for each in verdicts(ledgers)
    ]
    (folder / "report.json").write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    return [folder / "report.md", folder / "report.json"]


def read(folder: Path) -> dict[int, Ledger]:
    """Return the ledgers of the stages that were begun."""
    ledgers = {stage: Ledger(folder, stage) for stage in PREDICTIONS}
    return {stage: each for stage, each in ledgers.items() if each.records}


def _predicted(judged: list[Verdict], stage: int) -> Iterator[str]:
    yield "| | said | what it stands on | a miss would mean | measured | |"
    yield "|---|---|---|---|---|---|"
    for each in judged:
        if each.stage != stage:
            continue
        prediction, found = each.prediction, each.found
        value = "-"
        if found is not None and not each.is_toy:
            value = _number(found.value, found.unit)
        kind = "aim: " if prediction.is_aim else ""
        cells = (
            prediction.what,
            f"{kind}{prediction.said}",
            prediction.source,
            prediction.refutes,
            value,
            each.word,
        )
        yield f"| {' | '.join(map(_cell, cells))} |"


def _all(ledger: Ledger) -> Iterator[str]:
    yield "<details><summary>Everything measured</summary>"
    yield ""
    yield "| key | measured | |"
    yield "|---|---|---|"
    for record in ledger.records.values():
        for each in record.measured:
            value = _number(each.value, each.unit)
            yield f"| `{each.key}` | {value} | {_cell(each.about)} |"
    yield ""
    yield "</details>"


def _broken(broken: list[tuple[int, Record]]) -> Iterator[str]:
    if broken:
        yield "## What failed"
        yield ""
    for stage, record in broken:
        yield f"Stage {stage}, {record.name} ({record.state}):"
        yield ""
        yield "```"
        yield record.error or "it was still running when this was written"
        yield "```"
        yield ""


def _machine(ledger: Ledger) -> str:
    known: dict[str, Any] = ledger.machine
    parts = [
        f"{known.get('name')}",
        f"driver {known.get('driver')}",
        f"torch {known.get('torch')}",
        f"triton {known.get('triton')}",
        f"Python {known.get('python')}",
        f"commit {known.get('commit')}",
    ]
    if known.get("clocks"):
        parts.append(f"clocks, power and heat after the last part: {known['clocks']}")
    return ("a dry run, " if is_toy(ledger) else "") + ", ".join(parts)


def _value(found: Measured | None) -> float | None:
    if found is None or not math.isfinite(found.value):
        return None
    return found.value


def _number(value: float, unit: str) -> str:
    return "-" if math.isnan(value) else f"{value:.4g} {unit}".strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
