"""The decoder's training: the base redraws, the restorer learns to mend it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import torch

from worldweave.checkpoints import store
from worldweave.io.files import sha256
from worldweave.train.loop import Trainer
from worldweave.train.task import Setup
from worldweave_plugins.tinyworld import autoencoder, decoder
from worldweave_registry import WorldweaveError, discover


def setup(**fields: object) -> Setup:
    catalog = discover()
    base = catalog.find_base("tiny-world")
    given: dict[str, object] = {
        "base": base,
        "catalog": catalog,
        "clips": 3,
        "overrides": {"steps": 8, "batch_size": 2},
    }
    return Setup(**(given | fields))  # type: ignore[arg-type]


def test_training_changes_the_restorer_and_nothing_else(tmp_path: Path) -> None:
    before = autoencoder.HaarPCA()
    task = decoder.build(setup())
    kept = {k: v.clone() for k, v in task.model.state_dict().items()}
    trainer = Trainer(task, tmp_path, 0)
    trainer.run(lambda now: None)
    trainer.load_average()
    (path,) = task.save(tmp_path)
    saved = store.read(path)
    assert set(saved) == set(before.state_dict())
    shipped = store.read(
        Path(autoencoder.__file__).parent / "weights" / "autoencoder.safetensors"
    )
    for name in ("mean", "basis", "scale"):
        assert torch.equal(saved[name], shipped[name])
    assert any(not torch.equal(kept[k], saved[f"restorer.{k}"]) for k in kept)


def test_what_is_saved_is_what_the_loader_reads(tmp_path: Path) -> None:
    task = decoder.build(setup())
    (path,) = task.save(tmp_path)
    loaded = autoencoder.load(path, device="cpu", dtype=torch.float32)
    for name, value in task.model.state_dict().items():
        assert torch.equal(loaded.restorer.state_dict()[name], value)


def test_a_training_starts_with_no_effect_whatever_is_shipped() -> None:
    task = decoder.build(setup())
    video = torch.rand(1, 3, 5, 8, 8)
    assert torch.equal(task.model(video), video)
    assert task.started_from == ""
    again = decoder.build(setup()).model.state_dict()
    for name, value in task.model.state_dict().items():
        assert torch.equal(again[name], value)


def test_a_training_may_start_from_the_result_of_another(tmp_path: Path) -> None:
    first = decoder.build(setup())
    torch.nn.init.ones_(first.model.get_parameter("leave.bias"))
    (path,) = first.save(tmp_path)
    second = decoder.build(setup(init=tmp_path))
    assert second.started_from == f"autoencoder {sha256(path)[:12]}"
    for name, value in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value)
    assert all(p.requires_grad for p in second.model.parameters())


def test_an_autoencoder_with_other_latents_is_no_start(tmp_path: Path) -> None:
    path = tmp_path / "autoencoder.safetensors"
    store.write(path, autoencoder.HaarPCA().state_dict())
    with pytest.raises(WorldweaveError, match="its latents are not those of base"):
        decoder.build(setup(init=path))


def test_a_decoder_says_which_base_it_stands_on() -> None:
    given = setup()
    parts = ("dit", "autoencoder", "text_encoder")
    weights = {w.part: w.sha256 or "" for w in given.base.weights}
    wanted = ", ".join(f"{part} {weights[part][:12]}" for part in parts)
    assert decoder.build(given).stands_on == wanted


def test_a_fresh_restorer_lowers_its_loss_on_what_it_is_shown() -> None:
    task = decoder.build(setup())
    fixed = torch.Generator()

    def loss() -> torch.Tensor:
        return task.loss(fixed.manual_seed(7))

    optimizer = torch.optim.AdamW(task.model.parameters(), lr=5e-4)
    first = loss().item()
    for _ in range(36):
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss().item() < 0.98 * first


def test_the_same_seed_redraws_the_same_clips() -> None:
    one, other = decoder.build(setup()), decoder.build(setup())
    first = one.loss(torch.Generator().manual_seed(1))
    assert torch.equal(first, other.loss(torch.Generator().manual_seed(1)))


def test_the_distance_is_zero_only_for_the_truth() -> None:
    true = torch.rand(1, 3, 2, 4, 4)
    assert decoder.distance(true, true) == 0
    assert decoder.distance(true + 0.1, true) == pytest.approx(0.1, abs=1e-6)
    assert decoder.distance(true.flip(-1), true) > 0


def test_a_base_without_clips_is_refused() -> None:
    catalog = discover()
    base = attrs.evolve(catalog.find_base("tiny-world"), clips=None)
    with pytest.raises(WorldweaveError, match="makes no training clips"):
        decoder.build(setup(base=base))
