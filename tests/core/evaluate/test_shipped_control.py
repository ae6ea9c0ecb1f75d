"""The shipped branches control the shipped base, on clips nobody trained on."""

import pytest

from worldweave.evaluate.session import evaluate_base

NAMES = ("vis", "edge", "depth", "seg", "hdmap", "lidar")


@pytest.fixture(scope="module")
def found():
    # Over 64 clips the gaps close by 0.54 to 0.70: docs/benchmarks/tinyworld.md.
    return evaluate_base("tiny-world", tables=("gaps",), clips=3, device="cpu")


@pytest.mark.parametrize("name", NAMES)
def test_every_control_closes_a_good_part_of_its_gap(found, name):
    assert found["gaps"][name]["closed"] >= 0.25


@pytest.mark.parametrize("name", NAMES)
def test_the_right_control_is_better_than_that_of_another_clip(found, name):
    row, metric = found["gaps"][name], found["metrics"][name]
    right, wrong = row["right"]["mean"], row["wrong"]["mean"]
    assert right > wrong if metric["higher_is_better"] else right < wrong


@pytest.mark.parametrize("name", NAMES)
def test_the_autoencoder_is_not_what_limits_the_score(found, name):
    row = found["gaps"][name]
    lost = abs(row["ceiling"]["mean"] - row["tokenizer"]["mean"])
    gap = abs(row["ceiling"]["mean"] - row["none"]["mean"])
    assert lost < 0.2 * gap
