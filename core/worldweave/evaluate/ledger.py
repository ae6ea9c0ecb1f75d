"""Scores on disk while an evaluation runs, so that a stopped one goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldweave.io.files import atomic_path
from worldweave_registry import WorldweaveError


class Ledger:
    """Measurements by key, each a line of a file as soon as it is made.

    The first line tells what is evaluated; a file of something else is refused. A
    line cut by a crash is made again. Without a path nothing is kept.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.measured: dict[str, Any] = {}
        if path is None:
            return
        lines = _whole_lines(path)
        if path.exists() and path.stat().st_size and lines[:1] != [dict(identity)]:
            told = lines[0] if lines and isinstance(lines[0], dict) else {}
            other = [k for k, v in identity.items() if told.get(k) != v]
            raise WorldweaveError(
                f"{path} holds scores of another evaluation (it differs in "
                f"{', '.join(other)}); delete it or give another --out"
            )
        for line in lines[1:]:
            self.measured[line["key"]] = line["value"]
        with atomic_path(path) as temporary:
            whole = lines or [dict(identity)]
            temporary.write_text("".join(json.dumps(line) + "\n" for line in whole))

    def __contains__(self, key: str) -> bool:
        return key in self.measured

    def __getitem__(self, key: str) -> Any:
        return self.measured[key]

    def add(self, key: str, value: Any) -> None:
        """Note the measurement *value*, plain JSON, under *key*."""
        self.measured[key] = value
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "value": value}) + "\n")


def _whole_lines(path: Path) -> list[Any]:
    """Return the lines of *path* up to the first that is cut; none without a file."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines
