import json

import attrs
import pytest
import torch

from worldweave import WorldweaveError
from worldweave.forecast import forecast
from worldweave.forecast.cost import Cost
from worldweave.forecast.rates import (
    Key,
    Rate,
    find_rate,
    key_for,
    predicted_seconds,
    rates_path,
    read_rates,
    save_rate,
)

CPU = torch.device("cpu")


def rate(**changed):
    key = key_for("tiny-world", CPU, torch.float32)
    return Rate(
        **{
            "key": key,
            "denoise": 2e9,
            "autoencode": 1e9,
            "weights": "trained",
            "torch": "2.13.0",
            **changed,
        }
    )


def test_rates_come_back_as_they_were_saved_each_under_its_key(tmp_path):
    path = tmp_path / "new" / "rates.json"
    other = attrs.evolve(rate().key, base="other", threads=64)
    for each in (rate(), rate(key=other, autoencode=None), rate(denoise=3e9)):
        assert save_rate(each, path) == path
    assert read_rates(path) == {
        rate().key: rate(denoise=3e9),
        other: rate(key=other, autoencode=None),
    }
    assert find_rate("tiny-world", CPU, torch.float32, path) == rate(denoise=3e9)
    assert find_rate("tiny-world", CPU, torch.bfloat16, path) is None
    assert [file.name for file in path.parent.iterdir()] == ["rates.json"]


def test_no_file_is_no_rates(tmp_path):
    assert read_rates(tmp_path / "rates.json") == {}


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 1, "rates": [{}]}',
        '{"format": 1, "rates": [{"key": {}}]}',
        '{"format": 1, "rates": 7}',
        '{"format": 99, "rates": []}',
        "\xff",
    ],
)
def test_a_damaged_file_is_told_and_never_overwritten(tmp_path, damage):
    path = tmp_path / "rates.json"
    path.write_text(damage, "latin-1")
    for call in (lambda: read_rates(path), lambda: save_rate(rate(), path)):
        with pytest.raises(WorldweaveError, match=r"rates\.json.*bench --save"):
            call()
    assert path.read_text("latin-1") == damage


@pytest.mark.parametrize(
    "wrong", [{"denoise": 0.0}, {"denoise": "fast"}, {"autoencode": -1}, {"more": 1}]
)
def test_a_rate_that_cannot_be_is_told(tmp_path, wrong):
    path = tmp_path / "rates.json"
    save_rate(rate(), path)
    stored = json.loads(path.read_text())
    stored["rates"][0] |= wrong
    path.write_text(json.dumps(stored))
    with pytest.raises(WorldweaveError, match="damaged"):
        read_rates(path)


def test_the_file_lies_where_the_user_wants_caches(tmp_path):
    assert rates_path({"WORLDWEAVE_CACHE": "/here", "XDG_CACHE_HOME": "/x"}).parts == (
        *("/", "here", "rates.json"),
    )
    xdg = rates_path({"XDG_CACHE_HOME": "/x"})
    assert xdg.parts == ("/", "x", "worldweave", "rates.json")
    assert rates_path({}).parts[-3:] == (".cache", "worldweave", "rates.json")


def test_seconds_are_operations_by_their_own_rates():
    cost = Cost(base=6, branches={"edge": 2}, encode=30, decode=60, text=2)
    assert predicted_seconds(cost, rate(denoise=5.0, autoencode=30.0)) == 5.0
    assert predicted_seconds(cost, None) is None
    assert predicted_seconds(cost, rate(autoencode=None)) is None
    bare = attrs.evolve(cost, encode=0, decode=0)
    assert predicted_seconds(bare, rate(denoise=5.0, autoencode=None)) == 2.0


def test_a_forecast_tells_seconds_where_a_rate_is_kept_and_else_how_to_get_one(
    tiny, tmp_path
):
    path = tmp_path / "rates.json"
    asked = {"size": (64, 96), "frames": 9, "process": 0, "rates": path}
    before = forecast(tiny, {}, **asked)
    assert before.seconds is None
    assert any("bench --base tiny-world --save" in note for note in before.notes)
    save_rate(rate(), path)
    after = forecast(tiny, {}, **asked)
    around = after.flops["encode"] + after.flops["decode"]
    expected = (after.total_flops - around) / 2e9 + around / 1e9
    assert after.seconds == pytest.approx(expected)


def test_a_key_is_of_this_machine_and_its_threads():
    key = key_for("b", CPU, torch.bfloat16)
    assert key == Key(
        machine=key.machine,
        device="cpu",
        dtype="bfloat16",
        base="b",
        threads=torch.get_num_threads(),
    )
    assert key.machine
