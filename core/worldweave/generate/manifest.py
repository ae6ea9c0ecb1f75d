"""What a generation leaves behind: video, controls, and a manifest to replay it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import torch

from worldweave.executor import Alone
from worldweave.generate.generation import Generation
from worldweave.generate.report import report_of
from worldweave.io import video as video_io
from worldweave.io.files import (
    atomic_path,
    free_space_check,
    sha256,
    tree_sha256,
)
from worldweave.report import write as write_report
from worldweave.request.check import raise_all
from worldweave.request.spec import Request
from worldweave.request.structure import from_plain, to_plain
from worldweave.request.walk import inputs
from worldweave_registry import Catalog, WorldweaveError, discover, one_line

FORMAT = 1
#: Bytes. H.264 of a hundred 720p frames fits; how much more a video needs, only
#: writing it tells.
LEAST_ROOM = 10_000_000
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
}
PACKAGES = (
    "worldweave",
    "torch",
    "numpy",
    "opencv-python-headless",
    "av",
    "safetensors",
)


@attrs.frozen(kw_only=True)
class Manifest:
    """A manifest read back: what was asked, and the hashes of what went in and out."""

    request: Request
    threads: int = attrs.field(validator=attrs.validators.ge(1))
    device: str
    dtype: torch.dtype
    inputs: dict[str, str]
    weights: dict[str, str]
    output: str
    versions: dict[str, str]
    layout: dict[str, int] = attrs.field(factory=lambda: Alone().layout)


def save(generation: Generation, path: Path, *, report: bool = True) -> Path:
    """Write *path*, beside it a video per control and the report, then the manifest.

    The manifest comes last: where it exists, everything it names is complete. If
    anything fails, or on KeyboardInterrupt, what was written is removed again.
    Raise Problems where *path* cannot be written or would replace an input,
    WorldweaveError where the room runs out.
    """
    raise_all(target_problems(path, generation.request))
    record = _record(generation, path)
    written: list[Path] = []
    try:
        for name, control in generation.controls.items():
            beside = control_path(path, name)
            video_io.write(beside, control, generation.fps)
            written.append(beside)
        video_io.write(path, generation.frames, generation.fps)
        written.append(path)
        record["output"]["sha256"] = sha256(path)
        if report:
            shown = report_of(generation, path.name)
            written.append(write_report(shown, report_path(path)))
        with atomic_path(manifest_path(path)) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    except BaseException:
        for file in written:
            file.unlink(missing_ok=True)
        raise
    return path


def _record(generation: Generation, path: Path) -> dict[str, Any]:
    """Return the manifest of *generation* but for the hash of the video."""
    return {
        "format": FORMAT,
        "request": to_plain(generation.request),
        "inputs": generation.inputs,
        "weights": generation.weights,
        "output": {
            "file": path.name,
            "frames": len(generation.frames),
            "size": list(generation.frames.shape[1:3]),
            "source_size": list(generation.seen_size),
            "fps": str(generation.fps),
            "controls": {
                name: control_path(path, name).name for name in generation.controls
            },
        },
        "machine": {
            "device": generation.device,
            "dtype": generation.dtype,
            "threads": torch.get_num_threads(),
            "layout": generation.layout,
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        },
        "versions": _versions(),
    }


def files_of(path: Path, names: Iterable[str]) -> list[Path]:
    """Return what is written for the video *path* with controls of *names*."""
    controls = [control_path(path, name) for name in names]
    return [path, *controls, report_path(path), manifest_path(path)]


def manifest_path(path: Path) -> Path:
    """Return where the manifest of the video *path* lies."""
    return path.with_suffix(".manifest.json")


def report_path(path: Path) -> Path:
    """Return where the report of the video *path* lies."""
    return path.with_suffix(".report.html")


def control_path(path: Path, name: str) -> Path:
    """Return where the control of modality *name* lies beside the video *path*."""
    return Path(f"{path.with_suffix('')}.{name}{path.suffix}")


def target_problems(path: Path, request: Request) -> list[str]:
    """Return why the results of *request* cannot be written to *path*, if so.

    Results must not replace what they were made from: it would be lost, and the
    manifest could not be replayed.
    """
    if path.suffix.lower() not in (".mp4", ".mov"):
        return [f"output {path} has no suffix of a video; name it something.mp4"]
    if not path.parent.is_dir():
        return [
            f"cannot write {path}: there is no folder {path.parent}; "
            "create it or choose another"
        ]
    if not os.access(path.parent, os.W_OK):
        return [f"cannot write {path}: no permission; choose another folder"]
    problems = []
    taken = {
        Path(value).resolve(): what
        for what, value in inputs(request).items()
        if isinstance(value, str)
    }
    for file in files_of(path, request.controls):
        if file.is_dir():
            problems.append(f"cannot write {file}: it is a folder; choose another name")
        elif folder := _input_folder(file, taken):
            problems.append(
                f"writing {file} would change the {taken[folder]} of this request, the "
                f"folder {folder}; choose another folder"
            )
        elif file.resolve() in taken:
            problems.append(
                f"writing {file} would replace the {taken[file.resolve()]} of this "
                "request; choose another name"
            )
    try:
        free_space_check(path.parent, LEAST_ROOM)
    except WorldweaveError as error:
        problems.append(str(error))
    return problems


def _input_folder(file: Path, taken: Mapping[Path, str]) -> Path | None:
    """Return the folder among the inputs in which *file* would lie."""
    parents = file.resolve().parents
    return next((p for p in parents if p in taken and p.is_dir()), None)


def read(path: Path, catalog: Callable[[], Catalog] = discover) -> Manifest:
    """Read a manifest. Raise Problems if it is none or cannot be replayed.

    catalog: as in `worldweave.request.structure.from_plain`.
    """
    try:
        record = json.loads(path.read_text("utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"its format is {record['format']!r}, not {FORMAT}")
        machine = record["machine"]
        made = Manifest(
            request=from_plain(record["request"], where=str(path), catalog=catalog),
            threads=int(machine["threads"]),
            device=str(machine["device"]),
            dtype=DTYPES[machine["dtype"]],
            inputs=dict(record["inputs"]),
            weights=dict(record["weights"]),
            output=str(record["output"]["sha256"]),
            versions=dict(record["versions"]),
            # Earlier versions knew one process alone.
            layout=dict(machine.get("layout", Alone().layout)),
        )
    except OSError as error:
        raise WorldweaveError(
            f"cannot read manifest {path}: {error.strerror}; check the path"
        ) from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WorldweaveError(
            f"{path} is not a manifest of worldweave ({one_line(error)}); give the "
            ".manifest.json that lies beside a generated video"
        ) from error
    return made


def changes(manifest: Manifest) -> list[str]:
    """Return what differs now from when *manifest* was written, one line each.

    Inputs that changed or are gone; arrays that lived in memory only.
    """
    found = []
    for name, value in inputs(manifest.request).items():
        if not isinstance(value, str):
            continue
        if value.endswith(" in memory"):
            found.append(
                f"{name} was an {value}; save it to a file and generate from that"
            )
        elif name not in manifest.inputs:
            continue
        elif not Path(value).exists():
            found.append(f"{name}: {value} is gone; put it back")
        elif tree_sha256(Path(value)) != manifest.inputs.get(name):
            found.append(f"{name}: {value} has changed since; put the old file back")
    return found


def differences(manifest: Manifest, generation: Generation) -> list[str]:
    """Return what may have made *generation* differ from the recorded one."""
    found = []
    for name, now in _versions().items():
        then = manifest.versions.get(name)
        if then != now:
            found.append(f"{name} was {then}, is {now}")
    for name, then in manifest.weights.items():
        if generation.weights.get(name) != then:
            found.append(f"weights of {name} have changed")
    if manifest.layout != generation.layout:
        found.append(
            f"layout was {_in_words(manifest.layout)}, is "
            f"{_in_words(generation.layout)}: bits may differ"
        )
    return found or ["versions and weights are the same: another machine, perhaps"]


def _in_words(layout: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in layout.items())


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}
