"""A data folder, looked through and ready to be trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from worldweave.train.data.films import (
    Footage,
    fingerprint,
    held_out,
    open_footage,
)
from worldweave.train.data.layout import read_layout
from worldweave.train.data.look import Finding, examine
from worldweave_registry import Base, Modality, Problems

#: Frames of each file that are looked at before a training: ten seconds of most.
LOOKED_AT = 240


@attrs.frozen(kw_only=True, eq=False)
class OpenedFolder:
    """What a training sees of a data folder.

    trained, watched: what it learns from, and what its monitors look at instead.
    fingerprint: tells the files from others.
    """

    trained: tuple[Footage, ...]
    watched: tuple[Footage, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.trained) + len(self.watched)

    def about(self) -> str:
        """Return which videos are held out, as part of a line."""
        if not self.watched:
            return "1 video, so none is held out to be watched"
        names = [each.name for each in self.watched]
        verb = "is" if len(names) == 1 else "are"
        shown = ", ".join(names[:3])
        rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"{len(self)} videos, of which {shown}{rest} {verb} held out"


def open_data(
    root: Path,
    modality: Modality,
    base: Base,
    say: Callable[[str], None],
    *,
    is_examined: bool = True,
) -> OpenedFolder:
    """Open the folder *root* for a training of *modality* on *base*.

    Unless *is_examined* is False it is looked at as ``worldweave data check`` does,
    the first 240 frames of each file, and *say* is told its warnings. Raise Problems
    naming all that is wrong.
    """
    folder = read_layout(root, modality.name)
    if is_examined:
        found = examine(folder, modality, base, frames=LOOKED_AT)
        errors = [_line(each, root) for each in found.of("error")]
        if errors:
            raise Problems(errors)
        for each in found.of("warning"):
            say(f"warning: {_line(each, root)}")
    footage = open_footage(folder, modality, base)
    watched = set(held_out([each.name for each in footage]))
    return OpenedFolder(
        trained=tuple(each for each in footage if each.name not in watched),
        watched=tuple(each for each in footage if each.name in watched),
        fingerprint=fingerprint(folder),
    )


def _line(finding: Finding, root: Path) -> str:
    where = root if finding.subject == "." else root / finding.subject
    says = finding.says.rstrip(".")
    return f"{where}: {says}; {finding.mend}" if finding.mend else f"{where}: {says}"
