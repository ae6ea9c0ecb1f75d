"""python -m worldweave_plugins.tinyworld writes scenes and renders them."""

from pathlib import Path

import numpy as np
import pytest

from worldweave.io import video
from worldweave_plugins.tinyworld.__main__ import main
from worldweave_plugins.tinyworld.clips import clips
from worldweave_plugins.tinyworld.render import render_rgb
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene_file import read_scene


def test_a_scene_is_written_and_rendered(tmp_path: Path) -> None:
    scene, clip = str(tmp_path / "scene.json"), str(tmp_path / "scene.mp4")
    assert main(["scene", "7", scene, "--family", "table"]) == 0
    assert read_scene(Path(scene)) == sample(7, "table")
    assert main(["render", scene, clip, "--size", "128x192", "--frames", "5"]) == 0
    shown = video.read(clip)
    assert shown.fps == 24
    expected = render_rgb(sample(7, "table"), size=(128, 192), frames=5)
    assert np.abs(shown.frames.astype(int) - expected).mean() < 4


def test_a_scene_comes_with_its_exact_controls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, clip = str(tmp_path / "scene.json"), tmp_path / "scene.mp4"
    main(["scene", "7", scene])
    assert main(["render", scene, str(clip), "--controls"]) == 0
    said = capsys.readouterr().out
    (same,) = clips(7, 1)
    assert f"prompt: {same.prompt}" in said
    for name, control in same.controls.items():
        path = clip.with_suffix(f".{name}.npy")
        assert f"--control-video {name}={path}" in said
        np.testing.assert_array_equal(np.load(path), control)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["render", "{}/none.json", "{}/a.mp4"], "cannot read"),
        (["scene", "seven", "{}/a.json"], "'seed'"),
        (["scene", "1", "{}/none/a.json"], "there is no folder"),
        (["scene", "1", "{}/a.json", "--family", "zoo"], "zoo"),
        (["render", "{}/a.json", "{}/a.mp4", "--size", "64"], "give height x width"),
    ],
)
def test_a_mistake_is_a_line_and_no_file(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    assert main([argument.format(tmp_path) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("tinyworld: ")
    assert said.count("\n") == 1
    assert complaint in said
    assert list(tmp_path.iterdir()) == []


def test_every_problem_of_a_scene_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scene.json"
    main(["scene", "3", str(path)])
    path.write_text(path.read_text().replace('"day"', '"noon"').replace("yaw", "yow"))
    assert main(["render", str(path), str(tmp_path / "a.mp4")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith(f"tinyworld: {path}: ") for line in lines)
