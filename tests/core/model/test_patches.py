"""A patch is read channel slowest and written channel fastest."""

from itertools import product

import pytest
import torch

from worldweave.model.patches import patchify, token_grid, unpatchify, with_masks

PATCHES = [(1, 2, 2), (2, 2, 3)]


def numbered(*shape):
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)


@pytest.mark.parametrize("patch", PATCHES)
def test_a_token_holds_its_patch_channel_slowest_then_frame_row_column(patch):
    r, m, n = patch
    batch, channels, (t, h, w) = 2, 3, (2, 3, 2)
    x = numbered(batch, channels, t * r, h * m, w * n)
    tokens = patchify(x, patch)
    assert tokens.shape == (batch, t * h * w, channels * r * m * n)
    for b, c, i, j, k in product(*map(range, x.shape)):
        token = ((i // r) * h + j // m) * w + k // n
        feature = ((c * r + i % r) * m + j % m) * n + k % n
        assert tokens[b, token, feature] == x[b, c, i, j, k]


@pytest.mark.parametrize("patch", PATCHES)
def test_a_patch_is_written_row_column_frame_then_channel_fastest(patch):
    r, m, n = patch
    batch, channels, (t, h, w) = 2, 3, (2, 3, 2)
    tokens = numbered(batch, t * h * w, m * n * r * channels)
    x = unpatchify(tokens, (t, h, w), patch)
    assert x.shape == (batch, channels, t * r, h * m, w * n)
    for b, c, i, j, k in product(*map(range, x.shape)):
        token = ((i // r) * h + j // m) * w + k // n
        feature = (((j % m) * n + k % n) * r + i % r) * channels + c
        assert x[b, c, i, j, k] == tokens[b, token, feature]


def test_writing_is_not_the_inverse_of_reading():
    x = numbered(1, 3, 1, 4, 4)
    there_and_back = unpatchify(patchify(x, (1, 2, 2)), (1, 2, 2), (1, 2, 2))
    assert there_and_back.shape == x.shape
    assert not torch.equal(there_and_back, x)


def test_the_grid_counts_tokens_along_each_axis():
    assert token_grid(torch.empty(1, 16, 16, 88, 160), (1, 2, 2)) == (16, 44, 80)


@pytest.mark.parametrize("size", [(3, 5, 4), (3, 4, 5)])
def test_a_latent_that_does_not_divide_into_patches_is_refused(size):
    with pytest.raises(ValueError, match="does not divide into patches of 1x2x2"):
        token_grid(torch.empty(1, 4, *size), (1, 2, 2))


def test_masks_follow_the_latent_in_their_order_and_default_to_zero():
    latent, mask = numbered(2, 3, 1, 2, 2), torch.ones(2, 1, 1, 2, 2)
    out = with_masks(latent, (mask, None))
    assert torch.equal(out[:, :3], latent)
    assert torch.equal(out[:, 3:4], mask)
    assert not out[:, 4].any()
    assert out.shape[1] == 5


def test_channels_are_padded_between_latent_and_masks():
    latent, mask = numbered(1, 2, 1, 2, 2) + 1, torch.full((1, 1, 1, 2, 2), 7.0)
    out = with_masks(latent, (mask,), channels=5)
    assert torch.equal(out[:, :2], latent)
    assert not out[:, 2:5].any()
    assert torch.equal(out[:, 5:], mask)


def test_more_channels_than_there_is_room_for_are_refused():
    with pytest.raises(ValueError, match=r"hint has 7 channels, .* at most 6"):
        with_masks(torch.empty(1, 7, 1, 2, 2), (None,), channels=6)
