"""What was measured on one GPU, in the model of scaling, and what is refused."""

import dataclasses
import json

import pytest

from worldweave_kernels import roofline
from worldweave_kernels.bench import ranks, scaling_measured, scaling_report
from worldweave_kernels.bench.communication import H200, Figure
from worldweave_kernels.bench.results import Ceiling, Machine, Results, Row, Timing
from worldweave_kernels.bench.scaling_figures import ASSUMED, GPUS, OURS, PLAIN, Work
from worldweave_kernels.bench.scaling_model import Model
from worldweave_kernels.bench.scaling_study import lines, scale, settle


def figure(value):
    return Figure(value, "", "assumed", "for this test")


def machine(name):
    return Machine(
        device="cuda:0", name=name, driver=None, python="", torch="", triton=None,
        threads=1, commit="abc", date="2026-11-21T00:00:00",
    )  # fmt: skip


def timing(seconds):
    return Timing(median=seconds, low=seconds, high=seconds, repeats=3)


def of_blocks(path, name="NVIDIA H200", times=None, **changes):
    times = {1: 0.1, 2: 0.06, 4: 0.03, 8: 0.02} if times is None else times
    rows = [
        ranks.RankRow(gpus=u, guidance=1, ranks=u, mode=mode, time=timing(slow * t))
        for mode, slow in (("eager", 2), ("graph", 1))
        for u, t in times.items()
    ]
    whole = ranks.RankResults(
        machine=machine(name), shape="cosmos-7b", dtype="bfloat16", cluster="H200",
        rows=tuple(rows),
    )  # fmt: skip
    path.write_text(dataclasses.replace(whole, **changes).to_json())
    return path


def of_rates(path, name="NVIDIA B200", seconds=0.04, **changes):
    sizes = {"L": 56320, "M": 56320, "D": 4096, "H": 32}
    work = roofline.attention(56320, 56320, 32, 128)
    row = Row(
        op="attention", mode="forward", shape=sizes, dtype="bfloat16",
        provider="fa4", kind="library", bytes=work.bytes, flops=work.flops,
        time=timing(seconds), error=0.0, tolerance=1.0,
    )  # fmt: skip
    wrong = dataclasses.replace(row, time=timing(0.001), error=2.0)
    few = dataclasses.replace(row, time=timing(0.001), shape={**sizes, "H": 1})
    ceiling = Ceiling(dtype="bfloat16", bandwidth=6.5e12, flops=1.7e15)
    whole = Results(machine=machine(name), ceilings=(ceiling,), rows=(row, wrong, few))
    path.write_text(dataclasses.replace(whole, **changes).to_json())
    return path


def test_measured_blocks_take_the_place_of_ours_where_they_are_known(tmp_path):
    measured = scaling_measured.read(of_blocks(tmp_path / "b.json"))
    setting = settle("H200", Work(branches=0), measured=measured)
    rows = {
        line.gpus: line for line in lines(setting, OURS, [1, 2, 4, 8, 16, 32])
    }  # fmt: skip
    once = 36 * 28
    assert rows[1].told.network.compute == pytest.approx(2 * once * 0.1)
    assert rows[1].told.network.launches == 0
    assert rows[4].told.network.compute == pytest.approx(once * 0.05)
    assert rows[4].told.network.imbalance == pytest.approx(once * 0.01)
    assert rows[16].told.network.total - rows[16].told.network.exposed == (
        pytest.approx(once * 0.02)
    )
    assert [line.label.split()[0] for line in rows.values()] == (["measured"] * 6)
    assert rows[16].label == "measured blocks, exchange and rest assumed"
    assert rows[32].label == "measured block of one GPU, rest assumed"
    (plain,) = lines(setting, PLAIN, [4])
    assert plain.label == "assumed, gap fitted"
    assert settle("GB200", Work(), measured=measured).blocks == ()


def block_seconds(gpus):
    """What the model says of a block of ours on an H200, without its exchanges."""
    ours = Model(GPUS["H200"], OURS, ASSUMED, Work(branches=0, guided=False))
    spent = ours.evaluation(ours.plan(gpus))
    return (spent.total - spent.exposed) / 28


@pytest.fixture(scope="module")
def as_measured(tmp_path_factory):
    """A function: the study of ours where blocks take k times what is modelled."""
    folder = tmp_path_factory.mktemp("measured")

    def as_measured_(slower, branches=4, known=(1, 2, 4, 8), counts=range(1, 129)):
        times = {u: slower * block_seconds(u) for u in known}
        path = of_blocks(folder / "blocks.json", times=times)
        setting = settle(
            "H200", Work(branches=branches), measured=scaling_measured.read(path)
        )
        return lines(setting, OURS, counts)

    return as_measured_


@pytest.mark.parametrize("slower", [0.5, 1.3, 3.0])
@pytest.mark.parametrize("known", [(1,), (1, 2, 4, 8)])
def test_measured_blocks_never_promise_more_than_linear_scaling(
    as_measured, slower, known
):
    for line in as_measured(slower, known=known):
        assert line.speedup <= line.gpus
        assert line.whole_speedup <= line.gpus


def test_blocks_as_modelled_leave_the_model_as_it_is(as_measured):
    """But for five blocks that attend at once, which are taken one by one."""
    counts = [1, 2, 8, 16, 32, 64, 128]
    for line, modelled in zip(
        as_measured(1.0, branches=0, known=(1,), counts=counts),
        lines(settle("H200", Work(branches=0)), OURS, counts),
        strict=True,
    ):
        assert line.told.diffusion == pytest.approx(modelled.told.diffusion, rel=1e-9)
        assert line.speedup == pytest.approx(modelled.speedup, rel=1e-9)


@pytest.mark.parametrize("known", [(1,), (1, 2, 4, 8)])
def test_blocks_k_times_slower_leave_every_speed_up(known):
    """Where all else is free: exchanges and sampling are not measured, they stay."""
    link = dataclasses.replace(H200.inside, peak=figure(1e30), latency=figure(0.0))
    gpu = dataclasses.replace(
        GPUS["H200"],
        cluster=dataclasses.replace(H200, inside=link, across=link),
        beyond=link,
    )
    free = ("our_copies", "shared_copies", "ring_copies", "sampling")
    figures = dataclasses.replace(ASSUMED, **dict.fromkeys(free, figure(0.0)))
    counts = [1, 2, 4, 8, 16, 24, 32, 64, 128]
    found = []
    for slower in (1.0, 1.3):
        blocks = tuple((u, slower * block_seconds(u)) for u in known)
        made = Model(gpu, OURS, figures, Work(branches=0), blocks)
        found.append([made.forecast(gpus).diffusion for gpus in counts])
    once, slow = found
    assert slow == pytest.approx([1.3 * each for each in once], rel=1e-9)
    assert [slow[0] / each for each in slow] == pytest.approx(
        [once[0] / each for each in once], rel=1e-9
    )


def test_what_is_hidden_of_a_ring_grows_with_the_measured_attention(as_measured):
    (usual,), (slow,) = (as_measured(k, counts=[128]) for k in (1.0, 1.3))
    ring = usual.told.network
    assert 0 < ring.hidden < ring.exchange
    assert ring.hidden < slow.told.network.hidden <= 1.3 * ring.hidden


def test_plain_is_said_to_be_modelled_beside_measured_blocks(tmp_path):
    measured = scaling_measured.read(of_blocks(tmp_path / "b.json"))
    one = scale("H200", [1, 64], Work(), measured)
    said = " ".join(scaling_report.report([one]).split())
    assert "with what was measured on one GPU" in said
    assert "the paper's design; plain is modelled" in said
    assert "| plain x, plain is modelled |" in said
    assert "(plain is modelled, ours stands on measured blocks)" in said
    assert "under the same figures" not in said
    assert "one thing after another, all modelled" in said
    (case,) = (each for each in one.sensitivity if "CUDA graph" in each.what)
    assert case.what.endswith("modelled: no such blocks were measured")


def test_measured_rates_take_the_place_of_assumed_ones(tmp_path):
    measured = scaling_measured.read(of_rates(tmp_path / "r.json"))
    setting = settle("GB200", Work(), measured=measured)
    gpu = setting.gpu
    assert gpu.products.value == 1.7e15
    assert gpu.bandwidth.value == 6.5e12
    work = roofline.attention(56320, 56320, 32, 128)
    assert gpu.attention.value == pytest.approx(work.flops / 0.04)
    assert {gpu.products.label, gpu.attention.label} == {"measured"}
    assert (gpu.efficiency.value, gpu.efficiency.label) == (1.0, "assumed")
    assert "NVIDIA B200" in gpu.attention.source
    (line,) = lines(setting, PLAIN, [4])
    assert line.label == "measured rates, rest assumed"
    assert settle("H200", Work(), measured=measured).gpu == GPUS["H200"]


@pytest.mark.parametrize(
    ("made", "changes", "said"),
    [
        (of_blocks, {"name": "AMD EPYC"}, "AMD EPYC, which is not modelled"),
        (of_rates, {"name": "NVIDIA H100"}, "NVIDIA H100, which is not modelled"),
        (of_blocks, {"shape": "tiny"}, "has blocks of tiny in bfloat16"),
        (of_blocks, {"dtype": "float32"}, "has blocks of cosmos-7b in float32"),
        (of_blocks, {"times": {2: 0.1}}, "has no time of one GPU"),
        (of_rates, {"ceilings": (), "rows": ()}, "has no rate in bfloat16"),
    ],
)
def test_what_tells_nothing_of_these_gpus_is_refused(tmp_path, made, changes, said):
    path = made(tmp_path / "x.json", **changes)
    with pytest.raises(ValueError, match=said):
        scaling_measured.read(path)


def test_another_version_and_no_result_at_all_are_refused(tmp_path):
    path = of_blocks(tmp_path / "x.json")
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "schema": 99}))
    with pytest.raises(ValueError, match="has schema 99"):
        scaling_measured.read(path)
    for text in ("{}", "[]", "no", '{"machine": {"name": "H200"}}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"no result|incomplete"):
            scaling_measured.read(path)
