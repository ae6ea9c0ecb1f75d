"""What a batch has done before, and its state on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from worldweave.generate import manifest as manifests
from worldweave.io.files import atomic_path, sha256
from worldweave.request.fingerprint import input_hashes
from worldweave.request.spec import Request
from worldweave.request.structure import to_plain
from worldweave_registry import WorldweaveError

FORMAT = 1
State: TypeAlias = Literal["waiting", "made", "done before", "failed"]


@attrs.frozen(kw_only=True)
class Item:
    """How a job stands: its state, what it took, and why it failed."""

    line: int
    name: str
    state: State = "waiting"
    seconds: float | None = None
    problems: tuple[str, ...] = ()


def done_before(video: Path, request: Request) -> bool:
    """Tell whether *video* is there, whole, and what *request* would make.

    Raise WorldweaveError where it was made from something else or changed since.
    """
    manifest = manifests.manifest_path(video)
    if not (manifest.exists() and video.exists()):
        return False
    record = manifests.read(manifest)
    differing = _differences(record, request)
    if differing:
        what = "a change of" if len(differing) == 1 else "changes of"
        raise WorldweaveError(
            f"{video} was made before {what} {', '.join(differing)}; give another "
            "name, or --again to replace it"
        )
    if sha256(video) != record.output:
        raise WorldweaveError(
            f"{video} is not the file that its manifest records; move it away, or "
            "give --again to replace it"
        )
    return True


def write_summary(file: Path, jobs: str, items: Sequence[Item]) -> None:
    """Write how all *items* of the batch in file *jobs* stand."""
    states = [item.state for item in items]
    record = {
        "format": FORMAT,
        "jobs": jobs,
        "counts": {state: states.count(state) for state in dict.fromkeys(states)},
        "items": [attrs.asdict(item) for item in items],
    }
    with atomic_path(file) as temporary:
        text = json.dumps(record, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")


def _differences(record: manifests.Manifest, request: Request) -> list[str]:
    """Return which fields and inputs are not those of *record*."""
    then, now = to_plain(record.request), to_plain(request)
    found = [field for field in now if then[field] != now[field]]
    if found:
        return found
    hashes = input_hashes(request)
    names = dict.fromkeys([*record.inputs, *hashes])
    return [
        f"the file of {name}"
        for name in names
        if record.inputs.get(name) != hashes.get(name)
    ]
