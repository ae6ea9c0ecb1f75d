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


KERNELS = ("bench", "kernels", "--device", "cpu")


def test_kernels_are_measured_by_their_own_benchmark(run, cache, tmp_path):
    kept = tmp_path / "k.json"
    ran = run(
        *KERNELS, "--op", "weighted_add", "--mode", "forward", "--provider", "eager",
        "--shapes", "L=32,D=16,N=2", "--repeats", 1, "--json", kept,
    )  # fmt: skip
    assert ran.code == 0, ran.stderr
    assert "weighted_add forward" in ran.stdout
    assert "Not measured: any GPU" in " ".join(ran.stdout.split())
    rows = json.loads(kept.read_text())["rows"]
    assert [row["provider"] for row in rows] == ["eager"]
    assert not cache.exists()


def test_virtual_ranks_are_reached_the_same_way(run, cache):
    ran = run(*KERNELS, "--ranks", "1,2", "--shapes", "tiny", "--repeats", 1)
    assert ran.code == 0, ran.stderr
    assert "compute measured, communication modelled" in ran.stdout


def test_the_help_of_kernels_tells_its_flags(run):
    ran = run("bench", "kernels", "--help")
    assert ran.code == 0
    assert ran.stdout.startswith("usage: worldweave bench kernels")
    assert "--provider" in ran.stdout
    assert "kernels" in run("bench", "--help").stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--op", "weighed_add"), "there is no operation 'weighed_add'"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
        (("--time", "-1"), "--time is -1; give seconds, 0 or more"),
        (("--ranks", "1,x"), "--ranks is '1,x'; give numbers such as 1,2,4,8"),
        (("--ranks", "3", "--shapes", "tiny"), "3 GPUs cannot share 4 heads"),
    ],
)
def test_mistakes_about_kernels_are_told_in_a_line(refused, cache, given, said):
    (line,) = refused(*KERNELS, *given)
    assert line.startswith(said)


def test_a_long_complaint_about_kernels_is_told_whole():
    from worldweave.cli.bench import _complaint

    said = "the benchmark of abc failed (exit code 2):\nValueError: no: way\n  at last"
    assert _complaint(f"worldweave_kernels.bench: {said}\n") == said
    usage = "usage: worldweave bench kernels [-h]\n   [--op OP]\n"
    given = f"{usage}worldweave bench kernels: error: a: b\nand c\n"
    assert _complaint(given) == "a: b\nand c"
    warned = "one.py:3: UserWarning: mind\nworldweave_kernels.bench: no\n"
    assert _complaint(warned) == "one.py:3: UserWarning: mind\nno"


def test_what_could_not_be_measured_is_an_exit_code(run, cache, monkeypatch):
    monkeypatch.setenv("WORLDWEAVE_KERNELS", "attention=triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    ran = run(*KERNELS, "--ranks", 1, "--shapes", "tiny", "--repeats", 1)
    assert ran.code == 1
    assert "triton was asked for" in ran.stdout


def test_flags_of_bench_are_refused_before_a_subcommand(refused, cache):
    (line,) = refused("bench", "--save", "kernels")
    assert line.startswith("--save belongs to worldweave bench alone")
    (line,) = refused("bench", "kernel")
    assert "No such command 'kernel'" in line
