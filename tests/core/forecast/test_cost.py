import attrs
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from worldweave import (
    Control,
    ControlBranch,
    CosmosBranch,
    DiTConfig,
    Modality,
    PluginError,
    Request,
)
from worldweave.forecast import forecast
from worldweave.forecast.cost import evaluation, total_cost
from worldweave.forecast.whole import latent_size
from worldweave.generate.outlook import look_ahead
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave.model.weave import weave
from worldweave_plugins.tinyworld.config import CONFIG
from worldweave_registry import discover

SMALL = attrs.evolve(CONFIG, hidden=48, blocks=4, hint_widths=(16,))
LATENT = (2, 8, 12)


class Fog(ControlBranch):
    """A branch like no other: one convolution, one residual."""

    def __init__(self, config):
        super().__init__()
        self.see = nn.Conv3d(
            config.hint_channels, config.hidden, config.patch, config.patch
        )

    def forward(self, latent, step, hint):
        return [self.see(hint).movedim(1, -1)]


class Stubborn(Fog):
    def forward(self, latent, step, hint):
        return super().forward(latent, step, hint * float(latent.mean()))


def third_party(name, kind):
    return Modality(
        name=name,
        summary="for tests",
        license="MIT",
        preprocessor=None,
        branch=f"{__name__}:{kind}",
    )


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let plugins name the branches of this file."""
    import sys

    module = sys.modules.get(__name__)
    if module is None or not hasattr(module, "Fog"):
        module = type(sys)(__name__)
        module.Fog, module.Stubborn = Fog, Stubborn
        monkeypatch.setitem(sys.modules, __name__, module)


def really_counted(call):
    """Count with torch's own counter alone; plain attention, which it knows."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        call()
    return counted.get_total_flops()


@pytest.mark.parametrize(
    ("frames", "names", "settings"),
    [
        (9, ["edge", "vis"], {"guidance": 0.0, "steps": 1}),
        (10, ["edge"], {"guidance": 2.0, "steps": 1, "overlap": 5, "sigma_max": 20.0}),
    ],
)
def test_foretold_operations_are_those_of_the_real_generation_within_two_percent(
    frames, names, settings, pipeline, clip, tiny, shipped, tmp_path
):
    maps = {name: float(name in names) for name in ("edge", "vis")}
    counted = really_counted(
        lambda: pipeline.generate(
            "a street by day", video=clip[:frames], maps=maps, **settings
        )
    )
    told = forecast(
        tiny,
        {name: shipped[name] for name in names},
        size=(64, 96),
        frames=frames,
        from_source="sigma_max" in settings,
        **{key: value for key, value in settings.items() if key != "sigma_max"},
        process=0,
        rates=tmp_path / "none.json",
    )
    assert told.total_flops == pytest.approx(counted, rel=0.02)
    assert told.chunks == (1 if frames == 9 else 2)
    assert sum(told.flops.values()) == told.total_flops


def test_a_branch_alive_in_one_chunk_of_three_is_counted_there_alone(pipeline, clip):
    """One evaluation in three and one hint: neither divides by the chunks."""
    late = np.zeros((27, 1, 1), np.float32)
    late[9:18] = 1
    request = Request(
        video=np.concatenate([clip[:9]] * 3),
        steps=1,
        guidance=0.0,
        overlap=0,
        controls={"edge": Control(map=late), "vis": Control(map=0.5)},
    )
    told = look_ahead(request, discover())
    assert (told.runs["edge"].evaluations, told.runs["vis"].evaluations) == (2, 6)
    cost = told.forecast
    assert cost.flops["branch edge"] * 3 == cost.flops["branch vis"]
    hint = look_ahead(
        attrs.evolve(request, controls={"vis": Control(map=0.5)}), discover()
    ).forecast
    # vis is encoded three times, edge once; the frames are given to no other chunk.
    assert cost.flops["encode"] * 3 == hint.flops["encode"] * 4
    counted = really_counted(lambda: pipeline.run(request))
    assert cost.total_flops == pytest.approx(counted, rel=0.005)


def test_a_branch_with_an_interval_counts_at_the_steps_inside_it(shipped):
    torch.manual_seed(0)
    base, branch = DiT(SMALL), CosmosBranch(SMALL)
    latent = torch.zeros(1, 32, *LATENT)
    step = Step(c_noise=torch.zeros(1), text=torch.zeros(1, 24, 128), fps=24.0)
    hint, share = torch.zeros(1, 192, *LATENT), torch.ones(1, 2, 4, 6)

    def run():
        with torch.no_grad():
            for at in range(4):
                used = {"edge": branch, "vis": branch} if at == 1 else {"vis": branch}
                hints, maps = dict.fromkeys(used, hint), dict.fromkeys(used, share)
                weave(base, used, latent, step, hints, maps)

    one = evaluation(
        SMALL,
        {name: shipped[name] for name in ("edge", "vis")},
        LATENT,
        text_tokens=24,
        hint_channels=192,
    )
    cost = total_cost(
        one, None, None, chunks=1, steps=3, guided=False, evaluations={"edge": 1}
    )
    assert cost.total == really_counted(run)
    assert cost.branches["edge"] * 4 == cost.branches["vis"] > 0
    more = total_cost(one, None, None, chunks=3, steps=3, guided=True)
    assert more.base == cost.base * 6
    assert more.branches["edge"] == cost.branches["vis"] * 6


def test_a_third_party_s_branch_is_counted_as_it_is(tiny):
    told = forecast(
        tiny, {"fog": third_party("fog", "Fog")}, size=(64, 96), frames=9, steps=1,
        guidance=0.0, process=0,
    )  # fmt: skip
    assert told.flops["branch fog"] == 2 * 2 * 288 * (192 * 4) * 192
    values = 192 * 192 * 4 + 192
    bare = forecast(tiny, {}, size=(64, 96), frames=9, steps=1, guidance=0.0, process=0)
    assert told.bytes["weights"] - bare.bytes["weights"] == 4 * values


def test_a_branch_that_needs_values_is_named_and_not_passed_over(tiny):
    with pytest.raises(
        PluginError, match=r"branch of 'fog', run on torch's meta device, fa"
    ):
        forecast(
            tiny,
            {"fog": third_party("fog", "Stubborn")},
            size=(64, 96),
            frames=9,
            process=0,
        )


def test_the_7b_s_operations_are_those_of_its_matrices(catalog):
    base = catalog.find_base("cosmos-transfer1-7b")
    latent = latent_size(base, base.sizes[0])
    assert latent == (16, 88, 160)
    edge = {"edge": catalog.find("edge")}
    one = evaluation(DiTConfig(), edge, latent, text_tokens=512, dtype=torch.bfloat16)
    assert one.base_parameters == 7_236_208_640
    assert one.branch_parameters == {"edge": 893_497_120}
    tokens, width, text = 56_320, 4096, 512
    block = 2 * tokens * (4 + 2 + 8) * width**2 + 2 * text * 2 * 1024 * width
    block += 4 * tokens * (tokens + text) * width
    assert one.base_flops == pytest.approx(28 * block, rel=0.01)
    assert one.branch_flops["edge"] == pytest.approx(3 * block, rel=0.03)
    # The wide inner layer before and after its GELU is the least that is alive; the
    # scores of all heads would be a hundred times more.
    hidden = tokens * width * 2
    assert 8 * hidden < one.peak < 30 * hidden


def test_a_base_that_tells_no_cost_is_counted_without_and_that_is_said(tiny):
    told = forecast(
        attrs.evolve(tiny, cost=None), {}, size=(64, 96), frames=9, process=0
    )
    assert told.flops["decode"] == 0
    assert any("does not tell" in note for note in told.notes)
