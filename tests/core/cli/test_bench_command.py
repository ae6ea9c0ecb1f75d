import json

import pytest

QUICK = ("bench", "--device", "cpu", "--repeats", 1)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLDWEAVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rates.json"


def test_rates_are_measured_printed_and_kept(run, cache, tmp_path):
    from worldweave.forecast.rates import read_rates

    ran = run(*QUICK, "--save", "--out", tmp_path / "b.json")
    assert ran.code == 0, ran.stderr
    for part in ("evaluation", "encode", "decode"):
        assert f"\n{part}" in ran.stdout
    assert "trained weights in float32" in ran.stdout
    assert str(cache) in ran.stdout
    (kept,) = read_rates(cache).values()
    assert kept.denoise > 1e6
    assert kept.autoencode is not None
    stored = json.loads((tmp_path / "b.json").read_text())
    assert stored["rate"]["denoise"] == kept.denoise
    assert stored["rows"][0]["flops"] == 2_242_713_600


def test_nothing_is_kept_unasked(run, cache):
    assert run(*QUICK).code == 0
    assert not cache.exists()


def test_an_unknown_base_is_a_user_s_mistake(refused, cache):
    (line,) = refused("bench", "--base", "tiny-word", "--save")
    assert "tiny-word" in line
    assert not cache.exists()


def test_a_base_that_memory_will_not_hold_is_refused_before_it_is_made(
    monkeypatch, refused, cache
):
    from worldweave.forecast import measure

    monkeypatch.setattr(measure, "available_memory", lambda: 10**10)
    (line,) = refused("bench", "--base", "cosmos-transfer1-7b", "--device", "cpu")
    assert "needs" in line
    assert "10.0 GB are free" in line


def test_a_base_without_weights_is_measured_with_fresh_ones(tmp_path):
    import attrs
    import torch

    from worldweave.forecast.measure import measure
    from worldweave_registry import discover

    base = attrs.evolve(discover().find_base("tiny-world"), weights=())
    made = measure(base, torch.device("cpu"), torch.float32, repeats=1)
    assert made.rate.weights == "fresh"
    assert made.rate.autoencode is None
    assert [row.part for row in made.rows] == ["evaluation"]
