"""A desk full of good and bad files, and the command as a user meets it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from worldweave.cli import main

FOG = """
import attrs, worldweave

@attrs.frozen(kw_only=True)
class Clumsy:
    def __call__(self, frames):
        raise KeyError("no such cloud")

@attrs.frozen(kw_only=True)
class Crooked:
    def __call__(self, frames):
        return frames[:, ::2]

@worldweave.hookimpl
def worldweave_modalities():
    about = {"summary": "for tests", "license": "MIT"}
    return [
        worldweave.Modality(name="fog", preprocessor=None, **about),
        worldweave.Modality(name="clumsy", preprocessor="acme_fog:Clumsy", **about),
        worldweave.Modality(name="crooked", preprocessor="acme_fog:Crooked", **about),
    ]
"""


def install_fog(site: Path) -> None:
    """Put a distribution with three modalities on a path: none has weights."""
    info = site / "acme_fog-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_fog.py").write_text(FOG)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-fog\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\nfog = acme_fog\n")


def write_videos(desk: Path, clip: Any) -> None:
    from worldweave.io import video

    video.write(desk / "in.mp4", clip, 24)
    video.write(desk / "short.mp4", clip[:9], 24)
    video.write(desk / "long.mp4", np.concatenate([clip, clip[:1]]), 24)
    whole = (desk / "in.mp4").read_bytes()
    (desk / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (desk / "empty.mp4").touch()
    (desk / "words.mp4").write_text("I am no video.\n" * 50)
    (desk / "folder.mp4").mkdir()
    np.save(desk / "none.npy", clip[:0])
    np.save(desk / "floats.npy", clip.astype(np.float32))


def write_maps(desk: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 24, dtype=np.float32), (16, 1))
    np.save(desk / "ramp.npy", ramp)
    np.save(desk / "negative.npy", ramp - 0.25)
    np.save(desk / "above.npy", ramp * 3)
    np.save(desk / "nan.npy", np.where(ramp > 0.5, np.nan, ramp))
    np.save(desk / "nine.npy", np.stack([ramp] * 9))
    np.save(desk / "ints.npy", np.ones((16, 24), np.int32))
    np.save(desk / "flat.npy", np.ones(5, np.float32))
    np.save(desk / "pickled.npy", np.array([{}], object), allow_pickle=True)
    (desk / "cut.npy").write_bytes((desk / "ramp.npy").read_bytes()[:200])
    (desk / "words.txt").write_text("0.5 everywhere, please")


def write_weights(desk: Path, branch_file: Callable[[str], Path]) -> None:
    import torch

    import worldweave_plugins.tinyworld as tinyworld
    from worldweave import CosmosBranch
    from worldweave.checkpoints import store
    from worldweave_plugins.tinyworld.config import CONFIG

    shutil.copy(branch_file("edge"), desk / "edge.safetensors")
    shutil.copy(branch_file("vis"), desk / "vis.safetensors")
    dit = Path(tinyworld.__file__).parent / "weights" / "dit.safetensors"
    shutil.copy(dit, desk / "dit.safetensors")
    small = CosmosBranch(attrs.evolve(CONFIG, hidden=48, adaln_rank=8))
    store.write(desk / "small.safetensors", small.state_dict())
    broken = dict(store.read(desk / "edge.safetensors"))
    broken["zero.0.bias"] = torch.full_like(broken["zero.0.bias"], torch.nan)
    store.write(desk / "nan.safetensors", broken)
    torch.save({"zero.0.bias": torch.zeros(3)}, desk / "branch.pt")


@pytest.fixture(scope="session")
def shared_desk(
    clip: Any,
    branch_file: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    desk = tmp_path_factory.mktemp("desk")
    write_videos(desk, clip)
    write_maps(desk)
    write_weights(desk, branch_file)
    install_fog(desk / "site")
    return desk


@pytest.fixture
def desk(shared_desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a test; it must leave it as it is."""
    monkeypatch.chdir(shared_desk)
    monkeypatch.syspath_prepend(shared_desk / "site")
    monkeypatch.setenv("COLUMNS", "300")
    return shared_desk


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where results should go: nothing else is in that folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "out.mp4"


@attrs.frozen
class Ran:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def run(desk: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command in this process, on the desk."""

    def run_(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run_


@pytest.fixture
def refused(run: Callable[..., Ran], desk: Path, out: Path) -> Callable[..., list[str]]:
    """Run a command that must fail as a user's mistake; return its lines."""

    def refused_(*arguments: object) -> list[str]:
        before = {path: path.stat().st_mtime_ns for path in desk.rglob("*")}
        ran = run(*arguments)
        lines = ran.stderr.splitlines()
        assert ran.code == 2, lines
        assert lines
        assert all(line.startswith("worldweave: ") for line in lines), lines
        assert "Traceback" not in ran.stderr
        assert list(out.parent.iterdir()) == []
        assert {p: p.stat().st_mtime_ns for p in desk.rglob("*")} == before
        return [line.removeprefix("worldweave: ") for line in lines]

    return refused_
