"""The plugin as worldweave finds and calls it."""

import subprocess
import sys

import numpy as np
import pytest

from worldweave import WorldweaveError, discover
from worldweave_plugins import grounding


def test_finding_the_plugin_imports_nothing_heavy():
    program = (
        "import sys, worldweave_plugins.grounding as plugin\n"
        "print(plugin.worldweave_foreground('rule', None, {}))\n"
        "heavy = {'torch', 'numpy', 'cv2', 'PIL', 'transformers', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["None", "[]"]


@pytest.fixture
def hooks(tmp_path, monkeypatch):
    """The hooks of a catalog that holds this plugin, as installed by another."""
    home = tmp_path / "grounded-1.0.dist-info"
    home.mkdir()
    (home / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: grounded\nVersion: 1.0\n"
    )
    (home / "entry_points.txt").write_text(
        "[worldweave.v1]\ngrounding = worldweave_plugins.grounding\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    catalog = discover({"WORLDWEAVE_PLUGINS": "grounded"})
    (plugin,) = catalog.plugins
    assert (plugin.name, plugin.state.value) == ("grounding", "ready"), plugin.problem
    assert plugin.hooks == (
        "worldweave_map",
        "worldweave_objects",
        "worldweave_foreground",
        "worldweave_models",
    )
    return catalog.hook


def test_a_prompt_becomes_a_map_through_the_registry(hooks, here, video):
    found = hooks.worldweave_map(prompt="a car. a person.", video=video)
    assert found.dtype == np.float32
    assert found.shape == video.shape[:3]
    assert 0 < found.mean() < 1


def test_objects_are_found_and_judged_through_the_registry(hooks, here, video):
    masks = hooks.worldweave_objects(prompt="a car. a person.", video=video)
    assert set(masks) == {"a car", "a car 2", "a person", "a person 2"}
    told = hooks.worldweave_foreground(classifier="vlm", video=video, masks=masks)
    assert list(told) == list(masks)


def test_the_models_that_a_task_reads_are_told(hooks, here):
    told = {
        task: [
            (each.path.name, each.problem)
            for each in hooks.worldweave_models(task=task)
        ]
        for task in ("map", "objects", "foreground:vlm")
    }
    assert told == {
        "map": [("grounding-dino", None), ("sam2", None)],
        "objects": [("grounding-dino", None), ("sam2", None)],
        "foreground:vlm": [("vlm", None)],
    }
    for each in hooks.worldweave_models(task="map"):
        on_disk = sum(f.stat().st_size for f in each.path.iterdir())
        assert each.bytes == on_disk
    assert hooks.worldweave_models(task="foreground:vlmm") is None
    assert hooks.worldweave_models(task="sounds") is None


def test_missing_models_are_told_with_what_to_do(hooks, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLDWEAVE_GROUNDING", str(tmp_path))
    dino, sam = hooks.worldweave_models(task="map")
    assert (dino.name, dino.license, dino.bytes) == (
        "Grounding DINO",
        "Apache-2.0",
        700_000_000,
    )
    assert f"(looked in {tmp_path})" in dino.problem
    assert "run: hf download facebook/sam2-hiera-large" in sam.problem
    (tmp_path / "sam2").mkdir()
    _, sam = hooks.worldweave_models(task="map")
    assert sam.problem.startswith(f"{tmp_path / 'sam2'} lacks config.json and model")


def test_without_the_libraries_the_models_are_no_use(hooks, here, monkeypatch):
    for name in ("transformers", "huggingface_hub"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, name, None)
            (judge,) = hooks.worldweave_models(task="foreground:vlm")
        assert f"need {name}, which is not installed" in judge.problem


def test_telling_the_models_imports_nothing_heavy():
    program = (
        "import sys, worldweave_plugins.grounding as plugin\n"
        "print(len(plugin.worldweave_models('map')))\n"
        "heavy = {'torch', 'numpy', 'cv2', 'PIL', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["2", "[]"]


def test_what_is_missing_is_told_through_the_registry(hooks, video, monkeypatch):
    monkeypatch.setenv("WORLDWEAVE_GROUNDING_LOOKS", "none")
    with pytest.raises(WorldweaveError, match=r"LOOKS is 'none', expected a whole"):
        hooks.worldweave_map(prompt="a tree", video=video)


def test_a_classifier_of_another_name_is_left_to_other_plugins(hooks, video):
    assert hooks.worldweave_foreground(classifier="clip", video=video, masks={}) is None


def test_more_special_plugins_are_asked_first():
    for hook in grounding.__all__:
        assert getattr(grounding, hook).worldweave_impl["trylast"]
