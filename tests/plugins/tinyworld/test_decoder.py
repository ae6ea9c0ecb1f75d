"""The decoder's training: the base redraws, the restorer learns to mend it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import torch

from worldweave.checkpoints import store
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


def test_a_fresh_restorer_lowers_its_loss_on_what_it_is_shown() -> None:
    torch.manual_seed(0)
    task = decoder.build(setup())
    for parameter in task.model.parameters():
        torch.nn.init.zeros_(parameter) if parameter.ndim < 2 else None
    torch.nn.init.zeros_(task.model.get_parameter("leave.weight"))
    fixed = torch.Generator()

    def loss() -> torch.Tensor:
        return task.loss(fixed.manual_seed(7))

    optimizer = torch.optim.AdamW(task.model.parameters(), lr=5e-4)
    first = loss().item()
    for _ in range(24):
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
