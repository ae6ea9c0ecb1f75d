"""The model of the exchanges gives the numbers that the documents quote."""

import dataclasses

import pytest

from worldweave_kernels.bench import communication
from worldweave_kernels.bench.communication import (
    CLUSTERS,
    GB200,
    H200,
    OVER_PREDICTION,
    OVERLAP,
    PUBLISHED,
    Cluster,
    Figure,
    Link,
    all_to_all_bytes,
    attention_fill,
    efficiency,
    exchange_seconds,
    exposed,
    fill,
    layer_seconds,
    ring_bytes,
)

TOKENS, HIDDEN = 56_320, 4096
MB = 1e6


def megabytes(count):
    return round(count / MB)


@pytest.mark.parametrize(
    ("ranks", "exchange", "ring"),
    [
        (1, 0, 0),
        (2, 461, 461),
        (4, 346, 692),
        (8, 202, 807),
        (16, 108, 865),
        (32, 56, 894),
        (64, 28, 908),
    ],
)
def test_a_gpu_sends_what_the_table_says(ranks, exchange, ring):
    assert megabytes(all_to_all_bytes(TOKENS, HIDDEN, ranks)) == exchange
    assert megabytes(ring_bytes(TOKENS, HIDDEN, ranks)) == ring


def test_the_bytes_are_those_of_an_exchange_counted_element_by_element():
    tokens, hidden, ranks = 12, 8, 4
    sent = 0
    for _row in range(tokens // ranks):
        for channel in range(hidden):
            if channel // (hidden // ranks) != 0:  # rank 0 keeps the first part
                sent += 4 * 2
    assert all_to_all_bytes(tokens, hidden, ranks) == sent


def test_queries_keys_and_values_are_three_quarters_of_the_way():
    there = all_to_all_bytes(TOKENS, HIDDEN, 8, tensors=3)
    back = all_to_all_bytes(TOKENS, HIDDEN, 8, tensors=1)
    assert (there, there + back) == (3 * back, all_to_all_bytes(TOKENS, HIDDEN, 8))
    assert all_to_all_bytes(64, 8, 2, itemsize=4) == 2 * all_to_all_bytes(64, 8, 2)
    assert ring_bytes(64, 8, 2, itemsize=4) == 2 * ring_bytes(64, 8, 2)


@pytest.mark.parametrize(
    ("tokens", "hidden", "ranks", "said"),
    [
        (10, 8, 4, "4 ranks do not divide 10 tokens"),
        (8, 10, 4, "4 ranks do not divide 10 channels"),
        (8, 8, 0, "0 ranks; give at least one"),
    ],
)
def test_ranks_that_do_not_divide_are_refused(tokens, hidden, ranks, said):
    with pytest.raises(ValueError, match=said):
        all_to_all_bytes(tokens, hidden, ranks)


def test_a_ring_is_refused_where_it_does_not_divide_the_tokens():
    with pytest.raises(ValueError, match="3 ranks do not divide 8 tokens"):
        ring_bytes(8, 7, 3)
    assert ring_bytes(8, 7, 2) == 2 * 4 * 7 * 2


@pytest.mark.parametrize(
    ("cluster", "heads", "splits", "share"),
    [
        (H200, 1, 1, 0.833),
        (H200, 2, 1, 0.952),
        (H200, 4, 1, 0.952),
        (H200, 8, 1, 0.988),
        (H200, 1, 2, 0.952),
        (GB200, 1, 1, 0.743),
        (GB200, 2, 1, 0.991),
        (GB200, 4, 1, 0.991),
        (GB200, 1, 2, 0.991),
    ],
)
def test_the_last_wave_of_few_heads_leaves_a_gpu_idle(cluster, heads, splits, share):
    found = attention_fill(TOKENS, heads, cluster, splits=splits)
    assert round(found, 3) == share


def test_one_tile_too_many_takes_a_wave_of_its_own():
    assert fill(132, 132) == 1
    assert fill(133, 132) == pytest.approx(133 / 264)
    # Two tiles of 128 queries for each of two heads.
    assert attention_fill(129, 2, H200) == 4 / 132
    with pytest.raises(ValueError, match="0 tiles on 132 multiprocessors"):
        fill(0, 132)
    with pytest.raises(ValueError, match="1 tiles on 0 multiprocessors"):
        fill(1, 0)


def figure(value):
    return Figure(value, "", "assumed", "for this test")


def cluster(*, node, across=True):
    fast = Link("fast", figure(200.0), figure(0.5), figure(3.0))
    slow = Link("slow", figure(10.0), figure(1.0), figure(4.0))
    return Cluster("test", node, fast, slow if across else None, figure(1), figure(1))


def test_inside_a_node_an_exchange_takes_the_fast_link_and_its_latency():
    assert exchange_seconds(300.0, 4, cluster(node=4)) == 300 / (200 * 0.5) + 3
    assert exchange_seconds(300.0, 1, cluster(node=4)) == 0


def test_the_slower_of_two_links_decides():
    # Of seven other ranks three are near, four far: 100 bytes to each.
    assert exchange_seconds(700.0, 8, cluster(node=4)) == 400 / 10 + 4
    # Of 100 other ranks 99 are near: now the fast link takes longer.
    assert exchange_seconds(1e4, 101, cluster(node=100)) == 9900 / 100 + 3


def test_ranks_that_no_link_joins_are_refused():
    with pytest.raises(ValueError, match=r"over 8 ranks, but .* at most 4 test"):
        exchange_seconds(1.0, 8, cluster(node=4, across=False))


def test_a_layer_is_two_exchanges():
    there = all_to_all_bytes(TOKENS, HIDDEN, 8, tensors=3) / (450e9 * 0.78) + 15e-6
    back = all_to_all_bytes(TOKENS, HIDDEN, 8, tensors=1) / (450e9 * 0.78) + 15e-6
    assert layer_seconds(TOKENS, HIDDEN, 8, H200) == pytest.approx(there + back)
    sent = all_to_all_bytes(TOKENS, HIDDEN, 32)
    taken = sent / (900e9 * 0.75) + 2 * 18e-6
    assert layer_seconds(TOKENS, HIDDEN, 32, GB200) == pytest.approx(taken)
    assert layer_seconds(TOKENS, HIDDEN, 1, GB200) == 0


def test_sixteen_h200_wait_for_the_slow_link():
    sent = all_to_all_bytes(TOKENS, HIDDEN, 16)
    taken = sent * 8 / 15 / 45e9 + 2 * 15e-6
    assert layer_seconds(TOKENS, HIDDEN, 16, H200) == pytest.approx(taken)


def test_what_computing_hides_is_not_waited_for():
    assert exposed(2.0, 0.0) == 2
    assert exposed(2.0, 0.75) == 0.5
    assert exposed(2.0, 1.0) == 0
    for wrong in (-0.1, 1.5):
        with pytest.raises(ValueError, match="a share, from 0 to 1"):
            exposed(2.0, wrong)


def test_efficiency_is_the_share_of_the_ranks_that_is_not_lost():
    assert efficiency(8.0, 1.0, 8) == 1
    assert efficiency(8.0, 2.0, 8) == 0.5


def figures(part):
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if isinstance(value, Figure):
            yield value
        elif dataclasses.is_dataclass(value):
            yield from figures(value)


def test_no_figure_claims_to_be_measured_and_each_names_its_source():
    stood_on = [OVERLAP, *(each for one in CLUSTERS.values() for each in figures(one))]
    assert len(stood_on) == 1 + (3 + 3 + 2) + (3 + 2)
    for each in stood_on:
        assert each.label in ("assumed", "published")
        assert each.source
        assert f"{each.label}: {each.source}" in str(each)
    assert str(OVERLAP).startswith("0.6 (assumed")
    assert str(H200.inside.peak).startswith("4.5e+11 B/s (published")


def test_the_over_prediction_that_is_told_is_that_of_the_published_runs():
    gains = [round(each.alone / each.together, 2) for each in PUBLISHED]
    assert gains == [5.63, 7.06, 4.3, 5.43]
    assert all(each.source for each in PUBLISHED)
    beyond = [round(each.over_prediction, 2) for each in PUBLISHED]
    assert beyond == [0.37, 0.13, 0.65, 0.4]
    assert tuple(round(each, 2) for each in OVER_PREDICTION) == (0.13, 0.65)
    assert "by 13 % to 65 %" in " ".join(communication.__doc__.split())
