"""Write results whole or not at all; add them to a table that only grows."""

from __future__ import annotations

import csv
import io
import os
import secrets
import tempfile
from pathlib import Path

from worldweave_kernels.bench.results import BASELINES, SCHEMA, Results, spelled

_COLUMNS = (
    "schema", "date", "commit", "device", "machine", "driver", "python", "torch",
    "triton", "threads", "load", "op", "mode", "shape", "dtype", "kind", "provider",
    "median_ms", "low_ms", "high_ms", "repeats", "bytes", "flops", "floor_ms",
    "ceiling_gb_s", "ceiling_tflop_s", "error", "tolerance",
    *(f"x_{each}" for each in BASELINES), "note",
)  # fmt: skip


def refuse_unwritable(path: str | os.PathLike[str]) -> None:
    """Raise ValueError where nothing can be written to *path*: before measuring."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise ValueError(f"{path}: there is no folder {folder}; make it first")
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    _refuse_closed(folder, path)


def refuse_unwritable_folder(path: str | os.PathLike[str]) -> None:
    """Raise ValueError where no folder can be made at *path*, or nothing put in it."""
    there = Path(path)
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"{path}: {there} is no folder; name another")
    _refuse_closed(there, path)


def _refuse_closed(folder: Path, path: str | os.PathLike[str]) -> None:
    try:
        # Permissions do not tell of everything, such as a disk that is read only.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"{path}: nothing can be written to {folder} ({error.strerror}); name "
            "another"
        ) from error


def refuse_other_columns(path: str | os.PathLike[str]) -> None:
    """Raise ValueError where *path* is a table that another version began."""
    path = Path(path)
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        first = lines.readline().rstrip("\n")
    if first not in ("", ",".join(_COLUMNS)):
        raise ValueError(
            f"{path} has other columns than this version writes; give a new file"
        )


def write_json(path: str | os.PathLike[str], results: Results) -> None:
    """Write *results* to *path*. Raise OSError where that cannot be."""
    _replace(Path(path), results.to_json())


def append_csv(path: str | os.PathLike[str], results: Results) -> None:
    """Add a line for each row to *path*, which is made if it is not there.

    Raise ValueError where the file has other columns: it is from another version.
    """
    refuse_other_columns(path)
    path = Path(path)
    before = path.read_text("utf-8") if path.exists() else ""
    text = io.StringIO(before)
    text.seek(0, io.SEEK_END)
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    if not before:
        writer.writeheader()
    writer.writerows(_lines(results))
    _replace(path, text.getvalue())


def _lines(results: Results) -> list[dict[str, object]]:
    machine = results.machine
    ceilings = {each.dtype: each for each in results.ceilings}
    lines: list[dict[str, object]] = []
    for row in results.rows:
        line: dict[str, object] = {
            "schema": SCHEMA, "date": machine.date, "commit": machine.commit,
            "device": machine.device, "machine": machine.name,
            "driver": machine.driver, "python": machine.python,
            "torch": machine.torch, "triton": machine.triton,
            "threads": machine.threads, "load": machine.load, "op": row.op,
            "mode": row.mode, "shape": spelled(row.shape), "dtype": row.dtype,
            "kind": row.kind, "provider": row.provider, "bytes": row.bytes,
            "flops": row.flops, "error": row.error, "tolerance": row.tolerance,
            "note": row.note,
        }  # fmt: skip
        if row.floor is not None:
            line["floor_ms"] = row.floor * 1e3
        if row.dtype in ceilings:
            line["ceiling_gb_s"] = ceilings[row.dtype].bandwidth / 1e9
            line["ceiling_tflop_s"] = ceilings[row.dtype].flops / 1e12
        if row.time is not None:
            line["median_ms"] = row.time.median * 1e3
            line["low_ms"] = row.time.low * 1e3
            line["high_ms"] = row.time.high * 1e3
            line["repeats"] = row.time.repeats
        line |= {f"x_{each}": times for each, times in row.speedup.items()}
        lines.append(line)
    return lines


def _replace(path: Path, text: str) -> None:
    """Write beside *path* and rename: it is the old file or the new, never half."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        temporary.write_text(text, "utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
