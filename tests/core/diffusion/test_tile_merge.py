"""The released quirk: the first row and column fade at every evaluation."""

import torch

from worldweave.diffusion.compat import tile_merge


def test_the_first_row_and_column_shrink_and_their_corner_more():
    out = tile_merge(torch.ones(2, 3, 4, 5, 6))
    assert (out == out[:1, :1, :1]).all()
    picture = out[0, 0, 0]
    torch.testing.assert_close(picture[0, 1:], torch.full((5,), 0.9999))
    torch.testing.assert_close(picture[1:, 0], torch.full((4,), 0.9999))
    torch.testing.assert_close(picture[0, 0], torch.tensor(0.990099))
    torch.testing.assert_close(picture[1:, 1:], torch.full((4, 5), 0.999999))


def test_in_bfloat16_the_interior_is_exact_and_the_corner_still_shrinks():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 1, 4, 4, generator=random).to(torch.bfloat16)
    out = tile_merge(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out[..., 1:, 1:], x[..., 1:, 1:])
    corner = (out.float() / x.float())[..., 0, 0]
    torch.testing.assert_close(corner, torch.full((1, 2, 1), 0.991), rtol=0, atol=0.005)
