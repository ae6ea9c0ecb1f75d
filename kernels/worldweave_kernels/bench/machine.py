"""Where a benchmark runs: device, driver, versions, commit, and how busy it is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import torch

from worldweave_kernels.bench.results import Machine

#: The folder of the package: what is measured, not only what measures.
_PACKAGE = Path(__file__).resolve().parents[1]
#: Names the commit where the package is a copy without a checkout.
ENVIRONMENT = "WORLDWEAVE_COMMIT"


def machine(device: str) -> Machine:
    """Describe this machine as far as it bears on times."""
    return Machine(
        device=device,
        name=_name(device),
        driver=None if device == "cpu" else _driver(),
        python=platform.python_version(),
        torch=torch.__version__,
        triton=triton_version(),
        threads=torch.get_num_threads(),
        commit=commit(_PACKAGE),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def triton_version() -> str | None:
    """Return the version of triton, None where it is not installed."""
    try:
        return importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return None


def commit(folder: Path) -> str | None:
    """Return the commit of the checkout *folder* is in, with + for changes to it.

    Outside a checkout, what the environment says.
    """
    head = git(folder, "rev-parse", "--short", "HEAD")
    if head is None:
        return os.environ.get(ENVIRONMENT) or None
    changed = git(folder, "status", "--porcelain", "--", ".")
    return head + ("+" if changed else "")


def git(folder: Path, *arguments: str) -> str | None:
    """Return what git answers in *folder*, None where it cannot."""
    if shutil.which("git") is None:
        return None
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _name(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {os.cpu_count()} cores"


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
    )
    return done.stdout.split("\n")[0].strip() or None if done.returncode == 0 else None
