"""Models are found in the user's folder or the hub's cache, else a line says how."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from worldweave import Problems, WeightsError, WorldweaveError
from worldweave_plugins.grounding import detector, judge, masks, tracker
from worldweave_plugins.grounding.places import DETECTOR, JUDGE, TRACKER, find
from worldweave_plugins.grounding.settings import Settings

CPU = torch.device("cpu")
LOADERS = {DETECTOR: detector.load, TRACKER: tracker.load, JUDGE: judge.load}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of huggingface_hub."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture(params=LOADERS, ids=lambda source: source.folder)
def source(request):
    return request.param


@pytest.fixture
def copy(source, models_folder, tmp_path):
    """A copy of one model's folder to damage."""
    return shutil.copytree(
        models_folder / source.folder, tmp_path / "own" / source.folder
    )


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_the_users_folder_is_looked_into_first(source, copy, cache, models_folder):
    put_in_cache(cache, source, models_folder)
    assert find(Settings(folder=copy.parent), source) == [copy]


def test_the_cache_of_the_hub_is_looked_into_next(
    source, cache, models_folder, tmp_path
):
    snapshot = put_in_cache(cache, source, models_folder)
    for folder in (None, tmp_path):
        assert find(Settings(folder=folder), source) == [snapshot]


def put_in_cache(cache, source, models_folder):
    home = cache / f"models--{source.repository.replace('/', '--')}"
    snapshot = home / "snapshots" / ("0" * 40)
    shutil.copytree(models_folder / source.folder, snapshot)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(snapshot.name)
    return snapshot


def test_an_absent_model_is_told_with_size_licence_and_command(source):
    with pytest.raises(WeightsError) as told:
        find(Settings(), source)
    line = str(told.value)
    assert "\n" not in line
    assert f"{source.purpose} {source.what}, which is not on this machine" in line
    command = f"hf download {source.repository} {' '.join(source.files)} --local-dir"
    assert f"{command} models/{source.folder} ({source.size}, Apache-2.0)" in line
    assert line.endswith("and set WORLDWEAVE_GROUNDING=models")


def test_the_command_puts_a_model_where_it_is_then_found(source, tmp_path):
    with pytest.raises(WeightsError) as told:
        find(Settings(folder=tmp_path), source)
    (target,) = re.findall(r"--local-dir (\S+)", str(told.value))
    for name in source.files:
        path = tmp_path / target / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert find(Settings(folder=tmp_path), source) == [tmp_path / source.folder]


def test_all_absent_models_are_told_at_once(video, monkeypatch):
    monkeypatch.delenv("WORLDWEAVE_GROUNDING", raising=False)
    with pytest.raises(Problems) as told:
        masks.text_map("a car", video)
    assert len(told.value.problems) == 2


def test_an_absent_file_is_named_with_the_command(source, copy):
    for name in source.files:
        (copy / name).rename(copy / "away")
        with pytest.raises(WeightsError, match=rf"lacks {name}, .*; run: hf download"):
            find(Settings(folder=copy.parent), source)
        (copy / "away").rename(copy / name)


def test_a_processor_saved_by_version_5_is_read(source, copy):
    told = json.loads((copy / "preprocessor_config.json").read_text())
    expected = LOADERS[source](copy, CPU).preparation
    (copy / "preprocessor_config.json").unlink()
    (copy / "processor_config.json").write_text(json.dumps({"image_processor": told}))
    LOADERS[source].cache_clear()
    (folder,) = find(Settings(folder=copy.parent), source)
    assert LOADERS[source](folder, CPU).preparation == expected


def test_a_model_split_over_files_is_read(source, copy):
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = sorted(tensors)
    homes = {name: f"{at % 2}.safetensors" for at, name in enumerate(names)}
    for file in set(homes.values()):
        part = {name: tensors[name] for name in names if homes[name] == file}
        save_file(part, copy / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": homes}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder,) = find(Settings(folder=copy.parent), source)
    split = LOADERS[source](folder, CPU).model.state_dict()
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    (copy / "model.safetensors.index.json").unlink()
    LOADERS[source].cache_clear()
    whole = LOADERS[source](folder, CPU).model.state_dict()
    assert all(torch.equal(split[name], whole[name]) for name in whole)


def test_pickled_weights_are_not_read(source, copy):
    tensors = load_file(copy / "model.safetensors")
    torch.save(tensors, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"lacks model\.safetensors"):
        find(Settings(folder=copy.parent), source)
    with pytest.raises(WeightsError, match=rf"cannot read {source.what} from"):
        LOADERS[source](copy, CPU)


def test_a_damaged_file_is_a_line_for_the_user(source, copy):
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=rf"cannot read {source.what} from") as told:
        LOADERS[source](copy, CPU)
    assert "\n" not in str(told.value)


def test_a_missing_tensor_is_refused(source, copy):
    tensors = load_file(copy / "model.safetensors")
    name = min(name for name in tensors if name.endswith("weight"))
    del tensors[name]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=rf"does not fit .*: missing keys .*{name}"):
        LOADERS[source](copy, CPU)


def test_a_tensor_of_another_shape_is_refused(source, copy):
    tensors = load_file(copy / "model.safetensors")
    name = min(name for name in tensors if name.endswith("weight"))
    tensors[name] = torch.zeros(3, 1)
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=name):
        LOADERS[source](copy, CPU)


@pytest.mark.parametrize("content", ["{", "[1]", "{}"])
def test_a_broken_config_is_a_line_for_the_user(source, copy, content):
    (copy / "config.json").write_text(content)
    with pytest.raises(WeightsError, match=rf"{copy / 'config.json'}"):
        LOADERS[source](copy, CPU)


def test_another_model_in_the_folder_is_refused(source, copy):
    change(copy / "config.json", model_type="bert")
    expected = f"type 'bert', but {source.what} is of type '{source.model_types[0]}'"
    with pytest.raises(WeightsError, match=expected):
        LOADERS[source](copy, CPU)


@pytest.mark.parametrize(
    "entries",
    [{"image_mean": None}, {"image_std": [1, 2]}, {"resample": 77}],
    ids=lambda entries: next(iter(entries)),
)
def test_a_broken_preparation_is_a_line_for_the_user(source, copy, entries):
    change(copy / "preprocessor_config.json", **entries)
    with pytest.raises(WeightsError, match=r"does not say how to prepare pictures"):
        LOADERS[source](copy, CPU)


@pytest.mark.parametrize("size", [None, 64, {"shortest_edge": 64}])
def test_a_detector_without_two_edges_is_refused(models_folder, tmp_path, size):
    copy = shutil.copytree(models_folder / "grounding-dino", tmp_path / "copy")
    change(copy / "preprocessor_config.json", size=size)
    with pytest.raises(WeightsError, match=r"image_mean, image_std, size: get it"):
        detector.load(copy, CPU)


@pytest.mark.parametrize("source", [DETECTOR, JUDGE], indirect=True)
def test_a_tokenizer_that_is_none_is_a_line_for_the_user(source, copy):
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"cannot read .*tokenizer\.json"):
        LOADERS[source](copy, CPU)


@pytest.mark.parametrize("source", [DETECTOR, JUDGE], indirect=True)
def test_a_tokenizer_with_more_words_than_the_model_is_refused(source, copy):
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words |= {f"more{at}": 2000 + at for at in range(1200)}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(WeightsError, match=r"get both from one place"):
        LOADERS[source](copy, CPU)


def test_the_tokenizer_of_another_family_is_not_a_smolvlms(models_folder, tmp_path):
    copy = shutil.copytree(models_folder / "vlm", tmp_path / "copy")
    shutil.copy(models_folder / "grounding-dino" / "tokenizer.json", copy)
    with pytest.raises(WeightsError, match=r"has no token '<\|im_start\|>'.*SmolVLM's"):
        judge.load(copy, CPU)


def test_a_tokenizer_with_another_picture_token_is_refused(models_folder, tmp_path):
    copy = shutil.copytree(models_folder / "vlm", tmp_path / "copy")
    change(copy / "config.json", image_token_id=5)
    with pytest.raises(WeightsError, match=r"'<image>' as token \d+, but .* as 5"):
        judge.load(copy, CPU)


@pytest.mark.parametrize("name", ["transformers", "huggingface_hub"])
def test_without_the_extra_a_line_says_what_to_install(name, video, monkeypatch, here):
    monkeypatch.setitem(sys.modules, name, None)
    expected = rf"need {name}, .* pip install 'worldweave\[grounding\]'"
    with pytest.raises(WorldweaveError, match=expected):
        masks.text_map("a thing nobody asked for before", video)
    with pytest.raises(WorldweaveError, match=expected):
        judge.foreground(video, {"a car": np.ones(video.shape[:3], bool)})
