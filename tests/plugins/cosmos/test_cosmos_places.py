"""Weights are found on this machine, or the user is told where to put them."""

import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from worldweave import WeightsError
from worldweave_plugins.cosmos import worldweave_fetch

URI = "hf://nvidia/Cosmos-Transfer1-7B/base_model.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of huggingface_hub, and no folder of one's own."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.delenv("WORLDWEAVE_MODELS", raising=False)
    return folder


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "my models"
    folder.mkdir()
    monkeypatch.setenv("WORLDWEAVE_MODELS", str(folder))
    return folder


def put(folder: Path, inside: str) -> Path:
    path = folder / inside
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


def put_in_cache(cache: Path, repository: str, inside: str) -> Path:
    """Lay a file down the way huggingface_hub does."""
    home = cache / f"models--{repository.replace('/', '--')}"
    put(home, "refs/main").write_text(COMMIT)
    return put(home / "snapshots" / COMMIT, inside)


def complaint(uri=URI):
    with pytest.raises(WeightsError) as caught:
        worldweave_fetch(uri=uri)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_is_found_below_the_named_folder(models):
    path = put(models, "nvidia/Cosmos-Transfer1-7B/base_model.safetensors")
    assert worldweave_fetch(uri=URI) == path


@pytest.mark.parametrize("inside", ["google-t5/t5-11b", "nvidia/Any/deep/vae"])
def test_a_folder_is_found_as_a_folder(models, inside):
    path = put(models, f"{inside}/config.json")
    assert worldweave_fetch(uri=f"hf://{inside}") == path.parent


def test_a_named_folder_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WORLDWEAVE_MODELS", "~/kept")
    path = put(tmp_path, "kept/nvidia/Cosmos-Transfer1-7B/base_model.safetensors")
    assert worldweave_fetch(uri=URI) == path


def test_the_hub_cache_is_looked_into_without_a_named_folder(cache):
    path = put_in_cache(cache, "nvidia/Cosmos-Transfer1-7B", "base_model.safetensors")
    assert worldweave_fetch(uri=URI) == path


def test_the_hub_cache_is_looked_into_when_the_named_folder_lacks_it(cache, models):
    path = put_in_cache(cache, "nvidia/Cosmos-Transfer1-7B", "base_model.safetensors")
    assert worldweave_fetch(uri=URI) == path


@pytest.mark.parametrize(
    ("uri", "inside"), [("hf://acme/x/vae", "vae/"), ("hf://acme/x", "")]
)
def test_a_cached_folder_is_known_by_its_config(cache, uri, inside):
    path = put_in_cache(cache, "acme/x", f"{inside}config.json")
    assert worldweave_fetch(uri=uri) == path.parent


def test_the_named_folder_goes_before_the_cache(cache, models):
    put_in_cache(cache, "nvidia/Cosmos-Transfer1-7B", "base_model.safetensors")
    path = put(models, "nvidia/Cosmos-Transfer1-7B/base_model.safetensors")
    assert worldweave_fetch(uri=URI) == path


def test_the_hub_library_is_not_needed(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    path = put(models, "nvidia/Cosmos-Transfer1-7B/base_model.safetensors")
    assert worldweave_fetch(uri=URI) == path
    path.unlink()
    assert str(path) in complaint()


@pytest.mark.parametrize("uri", ["https://example.org/a", "s3://a/b", "hf:/a/b"])
def test_other_addresses_are_left_to_other_plugins(uri):
    assert worldweave_fetch(uri=uri) is None


@pytest.mark.parametrize("inside", ["one", "a//b", "a/../b", "/a/b", "a/b/"])
def test_an_address_without_repository_or_with_detours_is_refused(models, inside):
    assert "not hf://org/repository/path" in complaint(f"hf://{inside}")


def test_without_a_named_folder_the_variable_is_explained():
    message = complaint()
    assert "set WORLDWEAVE_MODELS to a folder" in message
    assert "nvidia/Cosmos-Transfer1-7B/base_model.safetensors" in message


def test_with_a_named_folder_the_missing_path_is_told(models):
    wanted = models / "nvidia/Cosmos-Transfer1-7B/base_model.safetensors"
    assert f"put it at {wanted}" in complaint()


def test_an_official_file_is_to_be_converted(models):
    official = put(models, "nvidia/Cosmos-Transfer1-7B/base_model.pt")
    target = official.with_suffix(".safetensors")
    assert f"worldweave convert '{official}' '{target}'" in complaint()


def test_a_cached_official_file_is_converted_into_a_folder_of_ones_own(cache):
    official = put_in_cache(cache, "nvidia/Cosmos-Transfer1-7B", "base_model.pt")
    message = complaint()
    assert f"worldweave convert {official} models/nvidia/" in message
    assert message.endswith("set WORLDWEAVE_MODELS to models")
