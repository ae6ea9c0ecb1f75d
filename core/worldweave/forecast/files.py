"""The files a generation reads: where they are, how large, under which licence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from worldweave.loading import part_of
from worldweave.request.check import PARTS, branch_weights
from worldweave.request.sources import OF_THE_BASE
from worldweave_registry import WeightsError, WorldweaveError, locate

if TYPE_CHECKING:
    from worldweave_registry import Base, Modality, Weights
    from worldweave_registry.fetch import Fetcher


@attrs.frozen(kw_only=True)
class FileEntry:
    """One file, or folder, of weights.

    path: where it lies or should. bytes: its size, or what its plugin says of it.
    is_present: None where its plugin does not tell. problem: why it cannot be read.
    Its checksum is not looked at: that would read all of it.
    """

    what: str
    uri: str
    path: Path | None
    bytes: int | None
    license: str
    is_present: bool | None
    problem: str | None = None


def list_files(
    base: Base,
    modalities: Mapping[str, Modality],
    *,
    weights: Mapping[str, str | Path] | None = None,
    learned: Iterable[str] = (),
    hook: Fetcher | None = None,
) -> tuple[FileEntry, ...]:
    """Return the files of *base* and of every branch; nothing is downloaded.

    weights: the branch files a user has named, by modality. learned: those of learned
    maps, "base" for the base's own.
    """
    own = weights or {}
    entries = [
        _entry(f"{base.name} {each.part}", each, hook)
        for each in base.weights
        if each.part in PARTS
    ]
    for file in sorted(learned):
        of_base = part_of(base, "maps") if file == OF_THE_BASE else None
        what = "learned maps"
        entries.append(
            _own(what, Path(file)) if of_base is None else _entry(what, of_base, hook)
        )
    for name, modality in modalities.items():
        if name in own:
            entries.append(_own(f"branch {name}", Path(own[name])))
            continue
        try:
            chosen = branch_weights(modality, base.name)
        except WeightsError as error:
            entries.append(_missing(f"branch {name}", str(error)))
        else:
            entries.append(_entry(f"branch {name}", chosen, hook))
    return tuple(entries)


def _entry(what: str, weights: Weights, hook: Fetcher | None) -> FileEntry:
    path, problem = None, None
    try:
        path = locate(weights, hook)
        problem = _problem(path, may_be_folder=weights.part in PARTS[1:])
    except WorldweaveError as error:
        problem = str(error)
    size = None if problem is not None or path is None else _size(path)
    return FileEntry(
        what=what,
        uri=weights.uri,
        path=path,
        bytes=weights.bytes if size is None else size,
        license=weights.license,
        is_present=problem is None,
        problem=problem,
    )


def _own(what: str, path: Path) -> FileEntry:
    problem = _problem(path, may_be_folder=False)
    return FileEntry(
        what=what,
        uri=str(path),
        path=path,
        bytes=_size(path) if problem is None else None,
        license="your own file",
        is_present=problem is None,
        problem=problem,
    )


def _missing(what: str, problem: str) -> FileEntry:
    return FileEntry(
        what=what,
        uri="",
        path=None,
        bytes=None,
        license="",
        is_present=False,
        problem=problem,
    )


def _problem(path: Path, *, may_be_folder: bool) -> str | None:
    if path.is_file() or (may_be_folder and path.is_dir()):
        return None
    if path.is_dir():
        return f"{path} is a folder; give a file in it"
    return f"there is no file {path}; get it, or check the path"


def _size(path: Path) -> int | None:
    """Return the bytes of a file or of all files in a folder."""
    try:
        if path.is_file():
            return path.stat().st_size
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    except OSError:
        return None
