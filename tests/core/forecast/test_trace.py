import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from worldweave.forecast.trace import counter, trace, watching


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, device="meta", dtype=dtype)


def test_the_peak_is_what_is_alive_at_once_and_not_the_sum_of_all():
    start = meta(1000)

    def call():
        first = start + 1
        second = first * 2
        del first
        third = second + 1
        return third

    assert trace(call, [start]).peak == 2 * 4000
    assert trace(lambda: [start + n for n in range(3)], [start]).peak == 3 * 4000


def test_views_and_what_was_there_before_take_no_memory():
    weight = meta(64, 32)
    assert trace(lambda: weight.t()[3:].reshape(-1)[:7].view(7), [weight]).peak == (
        29 * 64 * 4
    )
    assert trace(lambda: weight.t()[3:], [weight]).peak == 0


def test_what_is_written_in_place_is_counted_once():
    start = meta(1000)
    assert trace(lambda: (start + 1).mul_(2).add_(1), [start]).peak == 4000


@pytest.mark.parametrize("mask", [None, "mask"])
def test_attention_never_holds_the_matrix_of_all_scores(mask):
    length, heads, width = 4096, 2, 16
    q = meta(1, heads, length, width)
    given = None if mask is None else meta(1, 1, 1, length)
    traced = trace(
        lambda: scaled_dot_product_attention(q, q, q, attn_mask=given, scale=0.1), [q]
    )
    assert traced.peak < 3 * q.nbytes
    assert traced.flops == 4 * heads * length * length * width


def test_attention_with_fewer_keys_counts_them_alone():
    q, k = meta(1, 2, 100, 16), meta(1, 2, 7, 16)
    traced = trace(lambda: scaled_dot_product_attention(q, k, k), [q, k])
    assert traced.flops == 4 * 2 * 100 * 7 * 16


def test_attention_that_broadcasts_keeps_its_shape():
    q, k, v = meta(2, 4, 10, 16), meta(1, 4, 7, 16), meta(1, 4, 7, 8)
    with watching():
        assert scaled_dot_product_attention(q, k, v).shape == (2, 4, 10, 8)


def layers():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 36, 5), nn.SiLU()
    )


def test_operations_are_those_torch_counts_when_the_modules_really_run():
    real, picture = layers(), torch.zeros(2, 3, 6, 6)
    with FlopCounterMode(display=False) as counted:
        real(picture)
    bare = layers().to("meta")
    traced = trace(lambda: bare(meta(2, 3, 6, 6)))
    assert traced.flops == counted.get_total_flops() > 0


def test_a_branch_that_enters_inference_mode_is_counted_all_the_same():
    bare = layers().to("meta")

    def call():
        with torch.inference_mode():
            return bare(meta(2, 3, 6, 6))

    assert trace(call).flops == trace(lambda: bare(meta(2, 3, 6, 6))).flops


def test_our_counter_adds_what_torch_leaves_out_on_a_cpu():
    q = torch.zeros(1, 2, 20, 8)
    with counter() as ours:
        scaled_dot_product_attention(q, q, q)
    with FlopCounterMode(display=False) as plain, sdpa_kernel(SDPBackend.MATH):
        scaled_dot_product_attention(q, q, q)
    assert ours.get_total_flops() == plain.get_total_flops() == 4 * 2 * 20 * 20 * 8
