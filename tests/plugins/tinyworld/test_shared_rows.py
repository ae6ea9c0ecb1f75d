"""The tiny world's autoencoder by rows: what one process makes, on every rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from worldweave.base import SharesRows
from worldweave.parallel.autoencoder import ParallelAutoencoder
from worldweave.parallel.rows import Rows
from worldweave_kernels.parallel import ParallelPlan, Ranks
from worldweave_plugins.tinyworld.autoencoder import HaarPCA

Run = Callable[..., list[Any]]


def autoencoder() -> HaarPCA:
    """One with a basis that mixes and a restorer that does something."""
    torch.manual_seed(0)
    made = HaarPCA()
    made.basis.copy_(torch.linalg.qr(torch.randn(192, 192)).Q[:32])
    made.mean.normal_()
    made.scale.uniform_(0.5, 1.5)
    torch.nn.init.normal_(made.restorer.leave.weight, std=0.05)
    return made.eval()


def distances(world: int, positions: int) -> tuple[list[float], list[bytes], str]:
    """Return how far results are off those of one process, their bytes, and why not."""
    ranks = Ranks.join(ParallelPlan(ring=world))
    assert ranks is not None
    alone = autoencoder()
    together = ParallelAutoencoder(alone, ranks)
    noise = torch.Generator().manual_seed(0)
    video = torch.rand(1, 3, 9, positions * 4, 32, generator=noise) * 2 - 1
    far, raw = [], []
    with torch.no_grad():
        latent = alone.encode(video)
        for ours, theirs in (
            (together.encode(video), latent),
            (together.encode_hint(video), alone.encode_hint(video)),
            (together.decode(latent), alone.decode(latent)),
        ):
            assert ours.shape == theirs.shape
            far.append(float((ours - theirs).abs().max() / theirs.abs().max()))
            raw.append(ours.numpy().tobytes())
        restored = (alone.decode(latent) - alone.synthesise(latent)).abs().max()
    # Where the restorer did nothing no row would be missed.
    assert restored > 0.1
    return far, raw, together.why_whole


@pytest.mark.parametrize(("world", "positions"), [(2, 16), (3, 7), (4, 9)])
def test_every_rank_has_the_pictures_of_one_process(
    ranks: Run, world: int, positions: int
) -> None:
    told = ranks(world, distances, world, positions)
    for far, raw, why in told:
        assert not why
        assert max(far) < 1e-5
        assert raw == told[0][1]


def test_it_tells_how_its_rows_are_shared_and_stays_as_it_is() -> None:
    model = autoencoder()
    modules = dict(model.named_modules())
    assert isinstance(model, SharesRows)
    view = model.on_rows(Rows((2, 1), 1))
    assert isinstance(view, HaarPCA)
    assert view.basis is model.basis
    assert dict(model.named_modules()) == modules
