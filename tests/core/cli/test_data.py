"""`worldweave data check` as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from worldweave.cli import main
from worldweave.io import video


@pytest.fixture(scope="module")
def sound_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of a bright square on its way, and its depth."""
    root = tmp_path_factory.mktemp("folders") / "my data"
    for name, start in (("a", 0), ("b", 20)):
        frames = np.full((12, 64, 96, 3), 90, np.uint8)
        depth = np.full_like(frames, 40)
        for at in range(12):
            left = start + 3 * at
            frames[at, 30:50, left : left + 20] = (200, 60, 20)
            depth[at, 30:50, left : left + 20] = 220
        for kind in ("videos", "captions", "depth"):
            (root / kind).mkdir(parents=True, exist_ok=True)
        video.write(root / "videos" / f"{name}.mp4", frames, 24)
        np.save(root / "depth" / f"{name}.npy", depth)
    (root / "captions" / "a.txt").write_text("a red box")
    (root / "captions" / "b.txt").write_text("a blue box")
    return root


@pytest.fixture
def root(sound_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound_root, tmp_path / "my data"))


def test_a_sound_folder_ends_with_the_command_that_trains(
    sound_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(sound_root), "depth"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == f"{sound_root} for depth on tiny-world"
    assert lines[1] == (
        "  2 videos, 1.0 s, 8 windows of 9 frames, 2 captions, 2 controls of depth"
    )
    assert lines[-2] == "1 note"
    assert lines[-1] == f"ready to train: worldweave train depth --data '{sound_root}'"
    assert err == ""
    assert max(map(len, lines[2:-1])) <= 88


def test_errors_are_counted_and_give_exit_code_1(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "depth" / "a.npy").unlink()
    (root / "videos" / "b.mp4").write_bytes(b"no video")
    assert main(["data", "check", str(root), "depth"]) == 1
    out = capsys.readouterr().out
    assert "error    1 of 2 videos has no control: a." in out
    assert "         What to do: add depth/NAME.mp4" in out
    assert out.splitlines()[-1] == "2 errors to mend before training"


def test_warnings_are_pointed_at_but_do_not_stop(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "captions" / "a.txt").unlink()
    assert main(["data", "check", str(root), "depth"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("ready to train, once you have read the 1 warning: ")


def test_without_a_name_every_folder_of_a_modality_is_checked(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "dept").mkdir()
    (root / "vis").mkdir()
    assert main(["data", "check", str(root)]) == 0
    out = capsys.readouterr().out
    assert f"{root} for depth on tiny-world" in out
    assert f"{root} for vis on tiny-world" in out
    assert "no modality is called 'dept' as that folder is; did you mean" in out


def test_records_hold_all_that_is_told(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "captions" / "a.txt").unlink()
    (root / "other").mkdir()
    assert main(["data", "check", str(root), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["folder"] == str(root)
    assert list(record["other_folders"]) == ["other"]
    (checked,) = record["checked"]
    findings = checked.pop("findings")
    assert "ready to train" in checked.pop("verdict")
    assert checked == {
        "modality": "depth",
        "base": "tiny-world",
        "ready": True,
        "videos": 2,
        "captions": 1,
        "controls": 2,
        "seconds": 1.0,
        "chunk_frames": 9,
        "windows": 8,
    }
    assert [each["severity"] for each in findings] == ["warning", "note"]
    assert findings[0]["samples"] == ["a"]
    assert set(findings[0]) == {"severity", "subject", "says", "mend", "samples"}


def test_another_base_is_named_in_the_command(
    sound_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "check", str(sound_root), "depth"]
    assert main([*arguments, "--base", "cosmos-transfer1-7b", "--frames", "1"]) == 1
    out = capsys.readouterr().out
    assert "depth on cosmos-transfer1-7b" in out
    assert "all 2 videos are too short" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "depth"], "there is no folder nowhere; check the path"),
        (["{root}", "dept"], "no plugin supplies the modality 'dept'; did you mean"),
        (["{root}", "depth", "--base", "tiny"], "no plugin supplies the base 'tiny'"),
        (["{root}/videos"], "give the folder above it, {root}"),
        (["{root}/videos/a.mp4", "depth"], "is a file, not a folder"),
        (["{root}", "depth", "--frames", "0"], "see worldweave data check --help"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(
    sound_root: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    filled = [each.format(root=sound_root) for each in arguments]
    assert main(["data", "check", *filled]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert told.format(root=sound_root) in err


def test_a_folder_without_modalities_asks_which_is_meant(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(root / "depth")
    (root / "masks").mkdir()
    assert main(["data", "check", str(root)]) == 2
    assert capsys.readouterr().err == (
        f"worldweave: {root} holds no folder of a modality, only masks; say which "
        f"modality is meant: worldweave data check '{root}' NAME\n"
    )


def test_frames_looks_at_the_first_alone(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(root), "depth", "--frames", "3"]) == 0
    assert "only the first 3 frames" in " ".join(capsys.readouterr().out.split())
