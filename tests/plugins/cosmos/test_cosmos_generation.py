"""A base made of hf:// files and folders generates like any other."""

import importlib
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import worldweave
from worldweave import CosmosBranch, DiT, DiTConfig

SIZES = {
    "hidden": 32,
    "heads": 2,
    "blocks": 4,
    "adaln_rank": 8,
    "hint_channels": 24,
    "hint_widths": (8,),
    "max_size": (4, 8, 8),
}
PLUGIN = f"""
import worldweave

@worldweave.hookimpl
def worldweave_bases():
    return [
        worldweave.Base(
            name="little-cosmos",
            summary="Cosmos' surroundings around a tiny DiT",
            license="CC0-1.0",
            config="acme_little:config",
            autoencoder="worldweave_plugins.cosmos.autoencoder:load",
            text_encoder="worldweave_plugins.cosmos.text:load",
            chunk_frames=9,
            sizes=((32, 48),),
            fps=24.0,
            steps=2,
            weights=[
                worldweave.Weights(
                    base="little-cosmos", part=part, uri=uri, license="CC0-1.0"
                )
                for part, uri in [
                    ("dit", "hf://acme/little/base_model.safetensors"),
                    ("autoencoder", "hf://acme/vae"),
                    ("text_encoder", "hf://acme/t5"),
                ]
            ],
        )
    ]

def config():
    return worldweave.DiTConfig(**{SIZES})
"""


def save(kind, path):
    torch.manual_seed(0)
    network = kind(DiTConfig(**SIZES))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def pipeline(tmp_path, monkeypatch, vae_folder, t5_folder):
    models = tmp_path / "models"
    save(DiT, models / "acme/little/base_model.safetensors")
    shutil.copytree(vae_folder, models / "acme/vae")
    shutil.copytree(t5_folder, models / "acme/t5")
    monkeypatch.setenv("WORLDWEAVE_MODELS", str(models))
    site = tmp_path / "site"
    info = site / "acme_little-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_little.py").write_text(PLUGIN)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-little\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\nlittle = acme_little\n")
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    edge = save(CosmosBranch, tmp_path / "edge.safetensors")
    yield worldweave.load(
        "little-cosmos", modalities=["edge"], weights={"edge": edge}, device="cpu"
    )
    sys.modules.pop("acme_little", None)


def test_frames_come_from_hub_files_through_every_part(pipeline, tmp_path):
    video = np.random.default_rng(0).integers(0, 256, (12, 32, 48, 3), np.uint8)
    settings = {"video": video, "negative_prompt": "s", "seed": 1}
    made = pipeline.generate("a red car in rain", **settings)
    assert made.frames.shape == video.shape
    assert set(made.weights) >= {"base dit", "base autoencoder", "base text_encoder"}
    assert made.save(tmp_path / "out.mp4").is_file()

    same = pipeline.generate("a red car in rain", **settings)
    assert np.array_equal(same.frames, made.frames)
    worded = pipeline.generate("a car", **settings)
    assert not np.array_equal(worded.frames, made.frames)
    freed = pipeline.generate("a red car in rain", **settings, maps={"edge": 0.0})
    assert not np.array_equal(freed.frames, made.frames)
