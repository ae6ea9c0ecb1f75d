"""worldweave data check: what is wrong with a folder of training data."""

from __future__ import annotations

import shlex
import sys
import textwrap
from contextlib import nullcontext
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from worldweave.train.words import counted
from worldweave_registry import (
    Catalog,
    Modality,
    UnknownModalityError,
    WorldweaveError,
    did_you_mean,
    discover,
)

if TYPE_CHECKING:
    from worldweave.train.data.look import Finding, Findings

ERRORS_IN_THE_DATA = 1
_WIDTH = 88

data = typer.Typer(help="Look at folders of training data.", rich_markup_mode=None)


@data.callback()
def _group() -> None:
    """Look at folders of training data."""


@attrs.frozen(kw_only=True)
class _Checked:
    """What was found for one modality; base: as --base would name it, if need be."""

    name: str
    modality: Modality
    base: str | None
    findings: Findings

    @property
    def verdict(self) -> str:
        """Say in one line whether training can begin."""
        errors = len(self.findings.of("error"))
        if errors:
            return f"{counted(errors, 'error')} to mend before training"
        folder = self.findings.folder.root
        base = "" if self.base is None else f" --base {self.base}"
        if self.modality.recipe is None:
            return (
                f"no errors, but {self.name!r} has no recipe to train by; its plugin "
                "must name one"
            )
        train = f"worldweave train {self.name}{base} --data {_quoted(folder)}"
        warnings = len(self.findings.of("warning"))
        if warnings:
            read = counted(warnings, "warning")
            return f"ready to train, once you have read the {read}: {train}"
        return f"ready to train: {train}"

    def record(self) -> dict[str, Any]:
        """Return what --json prints; keys may be added, never renamed."""
        found = self.findings
        return {
            "modality": self.name,
            "base": found.base,
            "ready": not found.of("error"),
            "verdict": self.verdict,
            "videos": len(found.folder.samples),
            "captions": found.captions,
            "controls": found.controls,
            "seconds": round(found.seconds, 3),
            "chunk_frames": found.chunk_frames,
            "windows": found.windows,
            "findings": [
                {**attrs.asdict(each), "samples": list(each.samples)}
                for each in found.findings
            ],
        }


@data.command()
def check(
    folder: Annotated[
        Path,
        typer.Argument(help="The folder that holds videos/, captions/ and NAME/."),
    ],
    name: Annotated[
        str | None,
        typer.Argument(help="A modality [every one that has a folder there]."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The base to train for [the recipe's].")
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Look only at the first N frames of each file."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a record.")] = False,
) -> None:
    """Look at a data folder before training, and say what to mend.

    Every file is read from beginning to end. Errors: exit code 1.
    """
    catalog = discover()
    names, unknown = _names(folder, name, catalog)
    checked = [_check(folder, each, base, frames, catalog) for each in names]
    if json:
        record = {
            "folder": str(folder),
            "checked": [each.record() for each in checked],
            "other_folders": unknown,
        }
        print(dumps(record, indent=2))
    else:
        _say("\n\n".join(_told(each) for each in checked))
        for problem in unknown.values():
            _say(f"\n{_paragraph('note', f'{problem} It was not looked at.')}")
    if any(each.findings.of("error") for each in checked):
        raise typer.Exit(ERRORS_IN_THE_DATA)


def _say(text: str) -> None:
    """Print, even the name of a file that is no text."""
    print(text.encode(errors="backslashreplace").decode())


def _names(
    folder: Path, name: str | None, catalog: Catalog
) -> tuple[list[str], dict[str, str]]:
    """Return the modalities to check, and why other folders are none."""
    from worldweave.train.data.layout import modality_folders, read_layout

    if name is not None:
        catalog.find(name)
        return [name], {}
    known, unknown = [], {}
    for each in modality_folders(folder):
        try:
            catalog.find(each)
            known.append(each)
        except UnknownModalityError:
            near = did_you_mean(each, catalog.modalities) or "."
            unknown[each] = f"no modality is called {each!r} as that folder is{near}"
    if not known:
        read_layout(folder, "MODALITY")  # Perhaps it is no data folder at all.
        found = f", only {', '.join(unknown)}" if unknown else ""
        raise WorldweaveError(
            f"{folder} holds no folder of a modality{found}; say which modality is "
            f"meant: worldweave data check {_quoted(folder)} NAME"
        )
    return known, unknown


def _check(
    folder: Path, name: str, base: str | None, frames: int | None, catalog: Catalog
) -> _Checked:
    from worldweave.cli.progress import bar
    from worldweave.train.data.layout import read_layout
    from worldweave.train.data.look import examine
    from worldweave.train.session import base_for
    from worldweave.train.task import nothing_said

    modality = catalog.find(name)
    usual = base_for(name, None, catalog, nothing_said)
    on = catalog.find_base(usual if base is None else base)
    layout = read_layout(folder, modality.name)
    # The lines that a log gets instead of a bar would come between two reports.
    shown = bar(f"looking at {name}") if sys.stderr.isatty() else nullcontext()
    with shown as update:
        findings = examine(layout, modality, on, frames=frames, progress=update)
    return _Checked(
        name=name,
        modality=modality,
        base=None if base in (None, usual) else base,
        findings=findings,
    )


def _told(checked: _Checked) -> str:
    """Return the report of one modality: numbers, findings, verdict."""
    found = checked.findings
    lines = [f"{found.folder.root} for {checked.name} on {found.base}"]
    lines += [f"  {found.summary()}", ""]
    lines += [_told_finding(each) for each in found.findings]
    counts = [
        counted(len(found.of(severity)), severity)
        for severity in ("error", "warning", "note")
        if found.of(severity)
    ]
    if counts:
        lines += ["", ", ".join(counts)]
    lines.append(checked.verdict)
    return "\n".join(lines)


def _told_finding(finding: Finding) -> str:
    told = _paragraph(finding.severity, finding.says)
    if not finding.mend:
        return told
    return f"{told}\n{_paragraph('', f'What to do: {finding.mend}.')}"


def _paragraph(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        width=_WIDTH,
        initial_indent=f"{label:<8} ",
        subsequent_indent=" " * 9,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _quoted(path: Path) -> str:
    """Return the path as a shell takes it."""
    return shlex.quote(str(path))
