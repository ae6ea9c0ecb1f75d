"""What was found in a data folder, told to people who never trained a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import attrs

from worldweave.train.data.layout import DataFolder
from worldweave.train.words import counted

#: Of errors training stops or learns the wrong thing; warnings are for a person to
#: judge; notes only tell.
Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
#: Called with (done, total, note).
Progress = Callable[[int, int, str], None]
_NAMED = 3


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that was found, once for all the files that share it."""

    severity: Severity
    subject: str
    """The file or folder, as seen from the data folder."""
    says: str
    """What it is, in how many files, and why it matters."""
    mend: str = ""
    """What to do; "" where there is nothing to do."""
    samples: tuple[str, ...] = ()
    """The names of all samples it holds for."""


@attrs.frozen(kw_only=True)
class Findings:
    """What `examine` found: the numbers of a data folder, then what is wrong with it.

    windows: how many different clips of the base's length training can cut from the
    videos. findings: errors first, then warnings, then notes.
    """

    folder: DataFolder
    base: str
    chunk_frames: int
    seconds: float
    windows: int
    findings: tuple[Finding, ...]

    @property
    def captions(self) -> int:
        return sum(sample.caption is not None for sample in self.folder.samples)

    @property
    def controls(self) -> int:
        return sum(sample.control is not None for sample in self.folder.samples)

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(each for each in self.findings if each.severity == severity)

    def summary(self) -> str:
        """Return one line of numbers."""
        return ", ".join(
            [
                counted(len(self.folder.samples), "video"),
                duration(self.seconds),
                f"{counted(self.windows, 'window')} of {self.chunk_frames} frames",
                counted(self.captions, "caption"),
                f"{counted(self.controls, 'control')} of {self.folder.modality}",
            ]
        )


def shared(
    severity: Severity,
    subject: str,
    who: Mapping[str, str] | Iterable[str],
    total: int,
    word: str,
    verb: tuple[str, str],
    why: str,
    mend: str,
    *,
    shown: int = _NAMED,
) -> list[Finding]:
    """Return one finding for all of *who*: none where there is nobody.

    *who* are names of samples, each perhaps with a number worth telling; *word* is
    what *total* counts; *verb* says it of one and of several. At most *shown* are
    named in the sentence.
    """
    details = dict(who) if isinstance(who, Mapping) else dict.fromkeys(who, "")
    if not details:
        return []
    claim = f"{_part(len(details), total, word)} {verb[len(details) > 1]}"
    return [
        Finding(
            severity=severity,
            subject=subject,
            says=f"{claim}: {listed(details, shown)}. {why}".strip(),
            mend=mend,
            samples=tuple(details),
        )
    ]


def listed(details: Mapping[str, str] | Sequence[str], most: int = _NAMED) -> str:
    """Return the first few names with their details, and how many more there are."""
    if not isinstance(details, Mapping):
        details = dict.fromkeys(details, "")
    told = [f"{name} ({more})" if more else name for name, more in details.items()]
    # "and 1 more" would take as much room as the name.
    shown = told if len(told) <= most + 1 else told[:most]
    rest = len(told) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def duration(seconds: float) -> str:
    """Return ``"3 min 20 s"``, without what is zero in front."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _part(number: int, total: int, word: str) -> str:
    if number < total:
        return f"{number} of {total} {word}s"
    return f"the only {word}" if total == 1 else f"all {total} {word}s"
