"""Two plugins, one whole and one broken, and the command as a user meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from worldweave.cli import main

HAZE = '''
import attrs, os
import worldweave
from worldweave import Recipe, Weights

os.write(1, b"haze was here\\n")

@attrs.frozen(kw_only=True)
class Dim:
    """Take the contrast away.

    share: how much of it. low, high: between these levels.
    """

    share: float = 0.5
    low: int = 0
    high: int = 255

    def __call__(self, frames):
        return frames

class Sharpness:
    """How sharp it is."""

    higher_is_better = False
    best = 0.0

RECIPE = Recipe(
    steps=70, learning_rate=2e-3, batch_size=5, base="marsh", sigma_std=1.5,
    random_options={"share": [0.25, 0.75]}, dataset="acme_haze.clips:make",
)

def weights(base, uri, **more):
    return Weights(base=base, uri=uri, license="CC0-1.0", **more)

@worldweave.hookimpl
def worldweave_modalities():
    about = {"summary": "Less contrast", "license": "MIT"}
    return [
        worldweave.Modality(
            name="haze",
            preprocessor="acme_haze:Dim",
            branch="acme_haze.branch:HazeBranch",
            recipe="acme_haze:RECIPE",
            metric="acme_haze:Sharpness",
            weights=[
                weights("marsh", os.environ["HAZE_FILE"], sha256="0" * 64),
                weights("tiny-world", "moon://haze", bytes=3_000_000),
            ],
            metadata={"paper": "none"},
            **about,
        ),
        worldweave.Modality(
            name="ruin",
            preprocessor="acme_haze.gone:Ruin",
            recipe="acme_haze:Dim",
            metric="acme_haze:Shrpness",
            **about,
        ),
        worldweave.Modality(
            name="bare",
            preprocessor=None,
            weights=[weights("tiny-world", "moon://bare")],
            **about,
        ),
    ]

@worldweave.hookimpl
def worldweave_bases():
    return [
        worldweave.Base(
            name="marsh",
            summary="Fog and reed",
            license="MIT",
            config="acme_haze:gone",
            autoencoder="acme_haze.autoencoder:load",
            text_encoder="json:loads",
            chunk_frames=17,
            sizes=[(64, 96), (96, 64)],
            fps=12.5,
            trainings={"reed": "json:loads"},
            weights=[
                weights("marsh", os.environ["HAZE_FILE"], part="dit"),
                weights("marsh", "moon://maps", part="maps"),
            ],
        )
    ]
'''


def install(site: Path, name: str, source: str, plugin: str) -> None:
    module = name.replace("-", "_")
    info = site / f"{module}-0.3.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(source)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {name}\nVersion: 0.3\nLicense-Expression: ISC\n"
        f"Project-URL: Homepage, https://plugins.example/{name}\n"
        f"Project-URL: Issues, https://plugins.example/{name}/issues\n"
    )
    (info / "entry_points.txt").write_text(f"[worldweave.v1]\n{plugin} = {module}\n")


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install acme-haze, which supplies four things, and acme-grim, which is broken."""
    install(tmp_path, "acme-haze", HAZE, "haze")
    install(tmp_path, "acme-grim", "1 / 0", "grim")
    (tmp_path / "haze.safetensors").write_bytes(bytes(1500))
    monkeypatch.setenv("HAZE_FILE", str(tmp_path / "haze.safetensors"))
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "acme-haze,acme-grim")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("acme_haze", None)


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command, which must succeed; return what it prints."""

    def told_(*arguments: str) -> str:
        capfd.readouterr()
        assert main(list(arguments)) == 0
        return capfd.readouterr().out

    return told_


@pytest.fixture
def record(told: Callable[..., str]) -> Callable[..., Any]:
    return lambda *name: json.loads(told("plugins", "show", *name, "--json"))


@pytest.fixture
def put(site: Path) -> Callable[..., None]:
    """Install one more distribution: its name, its source, its plugin."""
    return lambda name, source, plugin: install(site, name, source, plugin)


@pytest.fixture
def haze() -> str:
    """The source of acme-haze."""
    return HAZE
