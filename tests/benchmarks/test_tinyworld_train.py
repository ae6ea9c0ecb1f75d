"""What retrains everything refuses early what would cost hours later."""

import importlib.util
import os
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tinyworld_train.py"
pytestmark = pytest.mark.skipif(
    not SCRIPT.exists(), reason="benchmarks are not part of the distribution"
)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("tinyworld_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path, *, age):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    os.utime(path, (1e9 - age, 1e9 - age))


def test_all_that_is_missing_is_named_before_any_training(
    script, tmp_path, monkeypatch
):
    monkeypatch.setattr(script, "PLUGINS", tmp_path)
    tiny = f'SHA256 = {{"dit": "{64 * "1"}"}}'
    lidar = f'''
        uri="package:worldweave_plugins.lidar/weights/tiny-world.safetensors",
        license="Apache-2.0",
        sha256="{64 * "2"}",
    '''
    for name, text in (("tinyworld", tiny), ("lidar", lidar), ("edge", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    script.refuse_without_checksum(["lidar"])
    with pytest.raises(SystemExit) as ended:
        script.refuse_without_checksum(["base", "edge", "lidar"])
    first, second = str(ended.value).splitlines()
    assert "tinyworld/__init__.py names no checksum of text_encoder; give" in first
    assert "edge/__init__.py names no checksum of tiny-world; give" in second


def test_what_ships_today_has_a_place_for_its_checksum(script):
    script.refuse_without_checksum(["base", "decoder", "annotator", "edge"])


@pytest.mark.parametrize(
    "made", ["edge.safetensors", "states/00000250/index.json"], ids=["result", "state"]
)
def test_what_is_older_than_its_base_is_removed(script, tmp_path, capsys, made):
    write(tmp_path / "edge" / made, age=60)
    script.drop_outdated(tmp_path, "edge")
    write(tmp_path / "base" / "dit.safetensors", age=90)
    script.drop_outdated(tmp_path, "edge")
    assert (tmp_path / "edge" / made).exists()
    assert capsys.readouterr().out == ""
    write(tmp_path / "base" / "dit.safetensors", age=30)
    script.drop_outdated(tmp_path, "edge")
    assert not (tmp_path / "edge").exists()
    assert "edge: removed, it is older than" in capsys.readouterr().out


def test_the_newest_state_tells_the_step(script, tmp_path):
    assert script.last_step(tmp_path) == 0
    for name in ("00000250", "00001000", "00002000.damaged", ".writing"):
        (tmp_path / "states" / name).mkdir(parents=True)
    assert script.last_step(tmp_path) == 1000


def test_pieces_that_get_nowhere_end_the_program(script):
    for fine in ([0], [0, 1], [0, 1, 40], [0, 40, 41]):
        script.refuse_standstill("base", fine, 9)
    with pytest.raises(SystemExit, match=r"base stands still.* from step 40 to 42,"):
        script.refuse_standstill("base", [0, 40, 41, 42], 9)
    with pytest.raises(SystemExit, match="from step 0 to 0,"):
        script.refuse_standstill("base", [0, 0, 0], 9)
