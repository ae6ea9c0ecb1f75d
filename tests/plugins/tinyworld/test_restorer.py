"""The restorer: no effect when fresh, wide enough to see across tokens when not."""

from __future__ import annotations

import pytest
import torch

from worldweave_plugins.tinyworld.autoencoder import HaarPCA
from worldweave_plugins.tinyworld.restorer import Restorer


def awake() -> Restorer:
    torch.manual_seed(0)
    restorer = Restorer(channels=8, blocks=2)
    torch.nn.init.normal_(restorer.leave.weight, std=0.2)
    return restorer.eval()


@pytest.mark.parametrize("shape", [(1, 3, 9, 64, 96), (2, 3, 1, 4, 4), (1, 3, 5, 8, 6)])
def test_a_fresh_restorer_changes_no_bit(shape: tuple[int, ...]) -> None:
    video = torch.randn(shape)
    assert torch.equal(Restorer()(video), video)


def test_a_fresh_restorer_leaves_what_the_transform_decodes() -> None:
    autoencoder = HaarPCA(channels=32)
    latent = torch.randn(1, 32, 3, 4, 6)
    assert torch.equal(autoencoder.decode(latent), autoencoder.synthesise(latent))


def test_a_trained_restorer_changes_pixels_and_keeps_the_shape() -> None:
    video = torch.randn(2, 3, 5, 16, 24)
    restored = awake()(video)
    assert restored.shape == video.shape
    assert not torch.equal(restored, video)


def test_it_sees_across_a_token_of_8_pixels_and_into_the_next_frame() -> None:
    restorer, video = awake(), torch.zeros(1, 3, 3, 32, 32)
    touched = video.clone()
    touched[0, :, 1, 16, 16] = 1.0
    with torch.no_grad():
        spread = (restorer(touched) - restorer(video)).abs().amax((0, 1))
    assert spread[1, 16, 8] > 0
    assert spread[0, 16, 16] > 0
    assert spread[2, 16, 16] > 0


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    restorer, videos = awake(), torch.randn(3, 3, 5, 8, 8)
    with torch.no_grad():
        together = restorer(videos)
        alone = torch.cat([restorer(video[None]) for video in videos])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
