"""The machine a generation would run on: its name, and the memory that is there."""

from __future__ import annotations

import importlib
import platform
from pathlib import Path

import torch

#: What a generation imports before it reads videos, the command's own parts included.
FIRST = (
    "worldweave.cli.progress",
    "worldweave.generate.load",
    "worldweave.generate.manifest",
    "worldweave.io.video",
)
#: torch's compiler comes with building a model on the meta device.
LATER = ("torch._dynamo",)
#: Control groups put this for "no limit", in pages or as a word.
_NO_LIMIT = 1 << 60


def machine_name(device: torch.device) -> str:
    """Return a short name of what computes: a processor's or a GPU's model."""
    if device.type == "cpu":
        return processor_name()
    if not torch.cuda.is_available():
        return device.type
    return torch.cuda.get_device_name(device)


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's model, as far as the system tells it."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return " ".join(value.split())
    return platform.processor() or platform.machine() or "unknown processor"


def process_bytes() -> int | None:
    """Return the memory this process holds once all is imported and nothing read.

    Call it before videos are read. None where the system does not tell.
    """
    return _once_imported(*FIRST, *LATER)


def first_bytes() -> int | None:
    """Return the memory this process holds when a generation begins to read.

    Call it before `process_bytes`, which imports more.
    """
    return _once_imported(*FIRST)


def _once_imported(*modules: str) -> int | None:
    for name in modules:
        importlib.import_module(name)
    return _field(Path("/proc/self/status"), "VmRSS")


def peak_bytes() -> int | None:
    """Return the most memory this process has held so far; None if no one tells."""
    return _field(Path("/proc/self/status"), "VmHWM")


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory a new process could have; None if no one tells.

    That is what the system counts as available, or less where a control group of
    this process (a container's, a batch job's) has less left. *root*: where proc and
    sys are mounted.
    """
    found = [_field(root / "proc/meminfo", "MemAvailable"), *_group_rooms(root)]
    known = [each for each in found if each is not None]
    return min(known) if known else None


def available_on(device: torch.device) -> int | None:
    """Return the free bytes of a GPU's own memory; None for a CPU.

    None as well for a GPU that is not in this machine: plans are made for others.
    """
    if device.type != "cuda" or not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def _field(file: Path, name: str) -> int | None:
    """Read "name:  12 kB" as bytes."""
    try:
        for line in file.read_text("utf-8").splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _group_rooms(root: Path) -> list[int | None]:
    """Return the room left in each control group this process is in, both versions.

    A group's parents limit it too.
    """
    try:
        listed = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return []
    rooms = []
    for line in listed:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            mount = root / "sys/fs/cgroup"
            names = ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        else:
            continue
        # Inside a container the path may be the host's: the mount itself is then ours.
        steps = [step for step in path.split("/") if step not in ("", "..")]
        folders = [mount.joinpath(*steps[:n]) for n in range(len(steps) + 1)]
        rooms += [_room(folder, *names) for folder in folders]
    return rooms


def _room(folder: Path, limit: str, usage: str, cached: str) -> int | None:
    """Return what a group may still take, files it only caches being given up."""
    most, used = _number(folder / limit), _number(folder / usage)
    if most is None or used is None or most >= _NO_LIMIT:
        return None
    return max(0, most - used + _cached(folder / "memory.stat", cached))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _cached(file: Path, name: str) -> int:
    try:
        for line in file.read_text("utf-8").splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        pass
    return 0
