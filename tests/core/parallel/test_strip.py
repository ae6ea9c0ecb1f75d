"""A rank's tokens as a latent one patch high."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldweave.model.patches import patchify, token_grid
from worldweave.parallel.strip import strip, strip_tokens, whole
from worldweave_kernels.parallel import Share

GRIDS = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
PATCHES = st.sampled_from([(1, 2, 2), (1, 1, 1), (2, 1, 3)])


def numbered(grid, patch, batch=2, channels=3):
    size = [n * p for n, p in zip(grid, patch, strict=True)]
    count = batch * channels * size[0] * size[1] * size[2]
    return torch.arange(1.0, 1 + count).view(batch, channels, *size)


@given(grid=GRIDS, patch=PATCHES, parts=st.integers(1, 6), batch=st.integers(1, 2))
def test_strips_of_all_ranks_make_the_whole_again(grid, patch, parts, batch):
    latent = numbered(grid, patch, batch)
    tokens = grid[0] * grid[1] * grid[2]
    strips = [strip(latent, Share(tokens, parts, at), patch) for at in range(parts)]
    rows = torch.cat([patchify(each, patch) for each in strips], dim=1)
    assert torch.equal(whole(rows[:, :tokens], grid, patch), latent)
    # What is beyond the last token is padding: zeros.
    assert not rows[:, tokens:].any()


@given(grid=GRIDS, patch=PATCHES, parts=st.integers(1, 6))
def test_a_strip_is_a_latent_one_patch_high(grid, patch, parts):
    share = Share(grid[0] * grid[1] * grid[2], parts, 0)
    assert token_grid(strip(numbered(grid, patch), share, patch), patch) == (
        1,
        1,
        share.size,
    )


def test_a_map_and_a_residual_are_cut_alike():
    share = Share(12, 5, 1)
    map_ = torch.arange(12.0).view(1, 2, 2, 3)
    assert strip_tokens(map_, share).tolist() == [[[[3.0, 4.0, 5.0]]]]
    residual = torch.arange(24.0).view(1, 2, 2, 3, 2)
    assert strip_tokens(residual, share).shape == (1, 1, 1, 3, 2)
    assert strip_tokens(residual, share)[0, 0, 0, 0].tolist() == [6.0, 7.0]


def test_another_number_of_tokens_is_refused():
    with pytest.raises(ValueError, match=r"12 tokens along axis 1 .* but 13 are"):
        strip_tokens(torch.zeros(1, 2, 2, 3), Share(13, 2, 0))
