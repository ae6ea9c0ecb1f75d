"""A plugin that raises in the middle of the work is named, and harms nobody else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

STORM = '''
import attrs
import worldweave
from worldweave import CosmosBranch

@attrs.frozen(kw_only=True)
class Gale:
    """Blow everything away."""

    force: int = 12

    def __call__(self, frames):
        raise RuntimeError(f"force {self.force} is too much\\nfor the mast")

@attrs.frozen(kw_only=True)
class Calm:
    def __call__(self, frames):
        return frames

class Squall(CosmosBranch):
    def forward(self, latent, step, hint):
        return [latent[0] / None]

class Whirl(CosmosBranch):
    def forward(self, latent, step, hint):
        return [each[..., :3] for each in super().forward(latent, step, hint)]

class Leaver(CosmosBranch):
    def forward(self, latent, step, hint):
        raise SystemExit(3)

@worldweave.hookimpl
def worldweave_modalities():
    about = {"summary": "for tests", "license": "MIT"}
    calm = "acme_storm:Calm"
    return [
        worldweave.Modality(name="gale", preprocessor="acme_storm:Gale", **about),
        worldweave.Modality(
            name="squall", preprocessor=calm, branch="acme_storm:Squall", **about
        ),
        worldweave.Modality(
            name="whirl", preprocessor=calm, branch="acme_storm:Whirl", **about
        ),
        worldweave.Modality(
            name="leaver", preprocessor=calm, branch="acme_storm:Leaver", **about
        ),
    ]
'''
REPORT = "report it to acme-storm 0.2.0: https://plugins.example/acme-storm/issues"


@pytest.fixture(autouse=True)
def storm(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Install the plugin acme-storm 0.2.0, which states an issue tracker."""
    site = tmp_path / "site"
    info = site / "acme_storm-0.2.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_storm.py").write_text(STORM)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: acme-storm\nVersion: 0.2.0\n"
        "Project-URL: Issues, https://plugins.example/acme-storm/issues\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\nstorm = acme_storm\n")
    monkeypatch.syspath_prepend(site)
    yield
    sys.modules.pop("acme_storm", None)


def generate(*controls: str) -> list[str]:
    """Return a command that makes ten frames under *controls*, all with weights."""
    flags = ["generate", "--video", "in.mp4", "--steps", "1"]
    for name in controls:
        flags += ["--control", f"{name}=0.5", "--weights", f"{name}=edge.safetensors"]
    return flags


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gale", "RuntimeError: force 12 is too much; for the mast"),
        ("squall", "TypeError: unsupported operand"),
        ("whirl", "gave a residual ("),
        ("leaver", "SystemExit: 3"),
    ],
)
def test_the_plugin_its_version_and_its_issue_tracker_are_named(
    refused: Callable[..., list[str]], out: Path, name: str, says: str
) -> None:
    (line,) = refused(*generate("edge", name), "--out", out)[-1:]
    assert repr(name) in line
    assert says in line
    assert line.endswith(REPORT)


def test_it_is_one_line(refused: Callable[..., list[str]], out: Path) -> None:
    assert len(refused(*generate("gale"), "--out", out)) == 1


def test_the_option_that_it_fails_at_is_told(
    refused: Callable[..., list[str]], out: Path
) -> None:
    (line,) = refused(*generate("gale"), "--option", "gale.force=3", "--out", out)
    assert "force 3 is too much" in line


def test_other_modalities_go_on_working(run: Callable[..., Any], out: Path) -> None:
    assert run(*generate("edge"), "--out", out).code == 0
    assert out.exists()


def test_the_other_videos_of_a_batch_are_made(
    run: Callable[..., Any], desk: Path, out: Path, tmp_path: Path
) -> None:
    def job(name: str) -> dict[str, Any]:
        control = {"map": 0.5, "weights": str(desk / "edge.safetensors")}
        return {
            "video": str(desk / "in.mp4"),
            "steps": 1,
            "controls": {name: control},
        }

    jobs = tmp_path / "jobs.jsonl"
    names = ("gale", "squall", "edge")
    jobs.write_text("".join(json.dumps(job(name)) + "\n" for name in names))
    ran = run("batch", jobs, "--out", out.parent)
    assert ran.code != 0
    assert len(list(out.parent.rglob("*.edge.mp4"))) == 1
    blamed = [line for line in ran.stderr.splitlines() if line.endswith(REPORT)]
    assert len(blamed) == 2
    assert "'gale'" in blamed[0]
    assert "'squall'" in blamed[1]
