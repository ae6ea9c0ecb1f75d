"""Rotary angles against an independent computation; learned positions."""

import math

import numpy as np
import pytest
import torch

from worldweave.model.config import DiTConfig
from worldweave.model.rope import LearnedPositions, rope_angles
from worldweave_kernels import reference

FULL = (16, 44, 80)


def angles(grid, head_width=128, ratios=(2.0, 1.0, 1.0), fps=24.0, bf16=False):
    return rope_angles(
        grid,
        head_width=head_width,
        ratios=ratios,
        fps=fps,
        base_fps=24.0,
        device=torch.device("cpu"),
        bf16=bf16,
    )


def rotate(x, turn):
    return reference.rotate(x, turn.cos(), turn.sin())


def double_precision_angles(grid, head_width, ratios, fps):
    """One angle after another, from the formula in the paper on NTK scaling."""
    side = head_width // 6 * 2
    widths = (head_width - 2 * side, side, side)
    table = np.empty((*grid, head_width // 2))
    for place in np.ndindex(*grid):
        row = []
        for axis, (position, width, ratio) in enumerate(
            zip(place, widths, ratios, strict=True)
        ):
            seconds = position * 24.0 / fps if axis == 0 and fps else position
            theta = 10000.0 * ratio ** (width / (width - 2))
            row += [seconds * theta ** (-2 * k / width) for k in range(width // 2)]
        table[place] = row
    return table.reshape(-1, head_width // 2)


@pytest.mark.parametrize("fps", [24.0, 10.0, None])
@pytest.mark.parametrize("ratios", [(2.0, 1.0, 1.0), (1.0, 3.0, 2.0)])
@pytest.mark.parametrize("head_width", [128, 24])
def test_angles_equal_a_computation_in_double_precision(head_width, ratios, fps):
    grid = (5, 4, 7)
    wanted = double_precision_angles(grid, head_width, ratios, fps)
    found = angles(grid, head_width, ratios, fps)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-6, atol=1e-6)


def test_the_temporal_base_of_the_7b_is_20671():
    slowest = angles((2, 1, 1))[1, 21].item()
    assert slowest == pytest.approx(20671.1557 ** (-42 / 44), rel=1e-6)


def test_a_slow_video_moves_further_per_frame():
    assert torch.allclose(angles((3, 1, 1), fps=12.0)[2], angles((5, 1, 1))[4])


def test_tokens_count_columns_fastest_then_rows_then_frames():
    table = angles((2, 3, 4)).view(2, 3, 4, 64)
    assert torch.equal(table[1, 2, 3, :22], angles((2, 1, 1))[1, :22])
    assert torch.equal(table[1, 2, 3, 22:43], angles((1, 3, 1))[2, 22:43])
    assert torch.equal(table[1, 2, 3, 43:64], angles((1, 1, 4))[3, 43:64])


def test_rotation_turns_channel_k_against_channel_k_plus_half():
    x = torch.tensor([[[[3.0, 5.0, 7.0, 11.0]]]])
    turn = torch.tensor([[math.pi / 2, math.pi]])
    wanted = torch.tensor([-7.0, -5.0, 3.0, -11.0])
    torch.testing.assert_close(rotate(x, turn).flatten(), wanted)


def test_rotation_keeps_lengths_and_dtype():
    x = torch.randn(2, 24, 3, 24, dtype=torch.bfloat16)
    out = rotate(x, angles((2, 3, 4), 24))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(
        out.float().norm(dim=-1), x.float().norm(dim=-1), rtol=0.01, atol=0
    )


def test_what_a_query_sees_depends_on_the_distance_alone():
    grid, head_width = (6, 6, 6), 24
    q, k = torch.randn(2, head_width, generator=torch.Generator().manual_seed(0))
    table = angles(grid, head_width)
    turned = [rotate(x.expand(1, 216, 1, -1), table)[0, :, 0] for x in (q, k)]
    score = (turned[0] @ turned[1].T).view(*grid, *grid)
    near, far = score[1, 1, 0, 2, 0, 2], score[4, 4, 3, 5, 3, 5]
    torch.testing.assert_close(near, far, rtol=0, atol=1e-4)
    assert (score[0, 0, 0] - near).abs().max() > 0.1


def test_the_released_bf16_angles_are_off_by_up_to_a_seventh_of_a_radian():
    error = (angles(FULL, bf16=True) - angles(FULL)).abs()
    # Measured with the official code: at most 0.148, on average 0.0047.
    assert error.max().item() == pytest.approx(0.148, abs=0.002)
    assert error.mean().item() == pytest.approx(0.0047, abs=0.0005)


@pytest.mark.parametrize(
    ("fps", "positions"),
    [(24.0, [0.0, 1.0, 2.0, 3.0]), (30.0, [0.0, 0.8046875, 1.609375, 2.40625])],
)
def test_bf16_times_are_rounded_as_in_the_released_code(fps, positions):
    # The fastest frequency is one, so its angle is the position itself.
    assert angles((4, 1, 1), fps=fps, bf16=True)[:, 0].tolist() == positions


@pytest.fixture
def learned(config: DiTConfig) -> LearnedPositions:
    return LearnedPositions(config)


def test_every_learned_position_has_unit_rms(learned):
    out = learned((6, 6, 6))
    assert out.shape == (216, 24)
    rms = out.square().mean(dim=-1).sqrt()
    torch.testing.assert_close(rms, torch.ones(216), rtol=0, atol=1e-3)


def test_a_learned_position_is_the_direction_of_time_plus_row_plus_column(learned):
    out = learned((2, 3, 4)).view(2, 3, 4, -1)
    total = learned.t[1] + learned.h[2] + learned.w[3]
    wanted = total / (1e-6 + total.norm() / math.sqrt(24))
    torch.testing.assert_close(out[1, 2, 3], wanted)


def test_a_smaller_grid_takes_the_first_positions(learned):
    large, small = learned((3, 4, 5)).view(3, 4, 5, -1), learned((2, 3, 4))
    assert torch.equal(large[:2, :3, :4].reshape(24, -1), small)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ((7, 1, 1), "7 tokens along T, .* positions for 6"),
        ((1, 7, 1), "7 tokens along H, .* positions for 6"),
        ((1, 1, 7), "7 tokens along W, .* positions for 6"),
    ],
)
def test_a_grid_beyond_the_learned_positions_is_refused(learned, grid, message):
    with pytest.raises(ValueError, match=message):
        learned(grid)


def test_learned_positions_of_a_bfloat16_model_are_bfloat16(learned):
    exact = learned((2, 2, 2))
    rounded = learned.to(torch.bfloat16)((2, 2, 2))
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.03, atol=0.01)
