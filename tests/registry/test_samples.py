"""Nine plugins of third parties, installed at once: seven of them go wrong.

To write the golden output anew: python tests/registry/test_samples.py
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldweave.cli import main
from worldweave_registry import Catalog, State, discover

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SAMPLES = Path(__file__).parent / "samples"
NAMES = sorted(folder.name for folder in SAMPLES.iterdir() if folder.is_dir())
OURS = f"worldweave {metadata.version('worldweave')}"
#: What every sample is called on the command line, and the state it is in.
STATES = {
    "depth@acme-depth": "ready",
    "both": "ready",
    "sweep": "ready",
    "normal": "ready",
    "radar": "broken",
    "sonar": "broken",
    "event": "broken",
    "flow": "broken",
    "thermal": "outdated",
}


def install(site: Path) -> None:
    """Put all samples on a path, as pip would."""
    for name in NAMES:
        files = shutil.ignore_patterns("pyproject.toml", "__pycache__")
        shutil.copytree(SAMPLES / name, site, ignore=files, dirs_exist_ok=True)
        project = tomllib.loads((SAMPLES / name / "pyproject.toml").read_text())
        write_metadata(site, project["project"])


def write_metadata(site: Path, project: dict[str, Any]) -> None:
    name, version = project["name"], project["version"]
    urls = project.get("urls", {})
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = [
        *("Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"),
        f"License-Expression: {project['license']}",
        *(f"Project-URL: {label}, {url}" for label, url in urls.items()),
    ]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    entries = [
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in names.items())
        for group, names in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n\n".join(entries) + "\n")


def printed(site: Path, *flags: str) -> str:
    """Return what `worldweave plugins` prints where all samples are installed."""
    done = subprocess.run(
        [sys.executable, "-m", "worldweave", "plugins", *flags],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "WORLDWEAVE_PLUGINS": ",".join(["worldweave", *NAMES]),
        },
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def normal(line: str) -> str:
    """Return a line of the table without what differs from machine to machine."""
    line = line.replace(f"{OURS:25}", f"{'worldweave VERSION':25}")
    if not line.startswith("normal "):
        # A busy machine may make anybody slow, but only that one always is.
        line = line.partition("; slow to list:")[0]
    return re.sub(r"\d\d*\.\d s;", "N s;", line)


def table(site: Path) -> str:
    return "\n".join(map(normal, printed(site).splitlines())) + "\n"


def records(site: Path) -> list[dict[str, Any]]:
    """Return the records without what differs from machine to machine."""
    found: list[dict[str, Any]] = json.loads(printed(site, "--json"))
    for record in found:
        is_slow = record["plugin"].startswith("normal@")
        assert (record["seconds"] > 1.1) or not is_slow
        assert Path(record["folder"]).is_absolute()
        record["remark"] = re.sub(r"\d\d*\.\d s;", "N s;", record["remark"] * is_slow)
        if record["plugin"].endswith("@worldweave"):
            record["version"] = "VERSION"
        del record["seconds"], record["folder"]
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the samples for this file; forget them after it."""
    folder, before = tmp_path_factory.mktemp("samples"), set(sys.modules)
    install(folder)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield folder
    sys.path.remove(str(folder))
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture(scope="module")
def catalog(site: Path) -> Catalog:
    return discover({"WORLDWEAVE_PLUGINS": ",".join(["worldweave", *NAMES])})


@pytest.fixture
def together(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command see the samples and what we ship."""
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", ",".join(["worldweave", *NAMES]))


def test_there_are_nine() -> None:
    assert len(NAMES) == len(STATES) == 9


def test_the_table_is_the_golden_one(site: Path) -> None:
    assert table(site) == (SAMPLES / "plugins.txt").read_text()


def test_the_records_are_the_golden_ones(site: Path) -> None:
    assert records(site) == json.loads((SAMPLES / "plugins.json").read_text())


def test_all_that_we_ship_is_ready_beside_them(catalog: Catalog) -> None:
    ours = [p for p in catalog.plugins if p.distribution == "worldweave"]
    assert len(ours) > 5
    assert {plugin.state for plugin in ours} == {State.READY}


@pytest.mark.parametrize("name", STATES)
def test_each_can_be_shown(
    together: None, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "show", name]) == 0
    page = capfd.readouterr().out
    assert re.search(rf"^  state             {STATES[name]}", page, re.M)
    assert max(len(line) for line in page.splitlines() if "/" not in line) <= 80


def test_what_is_sound_can_be_used(catalog: Catalog) -> None:
    frames = np.full((2, 8, 8, 3), 90, np.uint8)
    for name in ("sweep", "both", "normal", "depth@acme-depth"):
        preprocessor = catalog.find(name).preprocessor
        assert preprocessor is not None
        assert preprocessor.load()()(frames).shape == frames.shape


def test_a_generation_is_the_same_whoever_else_is_installed(
    together: None, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        folder.mkdir()
        code = main(
            [
                *("generate", "--video", str(source), "--prompt", "a street by day"),
                *("--control", "edge=0.6", "--steps", "1", "--max-frames", "9"),
                *("--out", str(folder / "out.mp4")),
            ]
        )
        assert code == 0
        return {path.name: path.read_bytes() for path in folder.glob("*.mp4")}

    beside_others = made("beside")
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "worldweave")
    alone = made("alone")
    assert set(alone) == {"out.mp4", "out.edge.mp4"}
    assert beside_others == alone


def write_golden() -> None:
    """Write what the command prints today; look at what changed before you keep it."""
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        (SAMPLES / "plugins.txt").write_text(table(Path(folder)))
        told = json.dumps(records(Path(folder)), indent=2) + "\n"
        (SAMPLES / "plugins.json").write_text(told)


if __name__ == "__main__":
    write_golden()
