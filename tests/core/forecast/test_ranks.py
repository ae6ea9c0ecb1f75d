"""What ranks are foretold to hold, against what real ranks of gloo do hold."""

import math

import attrs
import pytest
import torch
from torch import nn

from worldweave import ControlBranch, CosmosBranch, DiTConfig, Modality
from worldweave.forecast import forecast
from worldweave.forecast.cost import evaluation
from worldweave.forecast.ranks import autoencoder_bytes, evaluation_bytes
from worldweave.forecast.trace import watching
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave.parallel.autoencoder import ParallelAutoencoder
from worldweave.parallel.executor import InParallel
from worldweave_kernels.parallel import ParallelPlan, Ranks
from worldweave_plugins.tinyworld.autoencoder import HaarPCA

CONFIG = DiTConfig(
    latent_channels=4,
    hidden=96,
    heads=4,
    blocks=5,
    text_channels=8,
    adaln_rank=4,
    mlp_ratio=4,
    hint_channels=6,
    hint_widths=(8,),
    control_blocks=2,
    max_size=(4, 32, 48),
)
#: 3 x 16 x 24 tokens.
LATENT = (3, 32, 48)


class Blurring(ControlBranch):
    """A branch that looks at its neighbours."""

    def __init__(self, config):
        super().__init__()
        self.look = nn.Conv3d(4, config.hidden, 3, padding=1)

    def forward(self, latent, step, hint):
        return [self.look(latent)[..., ::2, ::2].movedim(1, -1)]


BLURRING = Modality(
    name="blurring", summary="for tests", license="MIT", preprocessor=None,
    branch=f"{__name__}:Blurring",
)  # fmt: skip
KINDS = {"edge": CosmosBranch, "vis": CosmosBranch, "blurring": Blurring}


def real_peak(plan, names):
    """The bytes at most alive on this rank during one evaluation."""
    torch.manual_seed(0)
    base = DiT(CONFIG).requires_grad_(False)
    branches = {name: KINDS[name](CONFIG).requires_grad_(False) for name in names}
    executor = InParallel(Ranks.join(plan, "cpu"))
    latent, mask = torch.randn(1, 4, *LATENT), torch.zeros(1, 1, *LATENT)
    hint, values = torch.randn(1, 4, *LATENT), torch.full((1, 3, 16, 24), 0.3)
    steps = [
        Step(c_noise=torch.ones(1), text=text, fps=24.0, condition_mask=mask)
        for text in torch.randn(plan.cfg, 1, 5, 8)
    ]
    known = [latent, mask, hint, values]
    known += [x for step in steps for x in (step.c_noise, step.text)]
    for module in (base, *branches.values()):
        known += [*module.parameters(), *module.buffers()]
    for branch in branches.values():
        executor.runs_whole(branch)
    with watching(known) as watch:
        executor.outputs(
            base, branches, latent, steps, dict.fromkeys(names, hint),
            dict.fromkeys(names, values),
        )  # fmt: skip
    return watch.peak


@pytest.fixture(scope="module")
def foretold(catalog):
    def foretold_(names, *shapes):
        modalities = {
            name: BLURRING if name == "blurring" else catalog.find(name)
            for name in names
        }
        return evaluation(
            CONFIG, modalities, LATENT, text_tokens=5, hint_channels=4, on_ranks=shapes
        )

    return foretold_


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        ((1, 1, 2), ()),
        ((2, 1, 2), ("edge", "vis")),
        ((2, 1, 1), ("edge",)),
        ((1, 2, 2), ("edge", "vis")),
        ((1, 1, 4), ("edge", "blurring")),
    ],
)
def test_the_foretold_evaluation_is_that_of_real_ranks(ranks, foretold, layout, names):
    plan = ParallelPlan(*layout)
    shapes = [layout[1:]] if plan.sequence > 1 else []
    told = evaluation_bytes(foretold(names, *shapes), plan, torch.float32)
    peaks = ranks(plan.world, real_peak, plan, names)
    assert told == pytest.approx(max(peaks), rel=0.1)


def test_a_branch_that_may_look_anywhere_is_told_to_run_whole(foretold):
    assert foretold(("edge", "vis"), (1, 2)).whole == ()
    assert foretold(("edge", "blurring"), (1, 2)).whole == ("blurring",)


def told_for(tiny, shipped, device, **given):
    return forecast(
        tiny, {"edge": shipped["edge"]}, size=(64, 96), frames=9, process=0,
        device=torch.device(device), **{"gpus": (1, 2, 4, 6, 64), **given},
    )  # fmt: skip


def test_one_gpu_holds_what_it_held(tiny, shipped):
    for device in ("cpu", "cuda"):
        made = told_for(tiny, shipped, device)
        alone = made.ranks[0]
        assert alone.gpus == alone.plan.world == 1
        assert alone.first == alone.other
        assert (alone.first.host, alone.first.device) == (
            made.host_bytes,
            made.device_bytes,
        )
        assert alone.first.by_part() == made.bytes
        assert alone.host == made.host_bytes


def test_layouts_are_the_best_for_each_count(tiny, shipped):
    made = told_for(tiny, shipped, "cpu")
    layouts = {
        each.gpus: (each.plan.cfg, each.plan.ring, each.plan.ulysses)
        for each in made.ranks
    }
    assert layouts == {1: (1, 1, 1), 2: (2, 1, 1), 4: (2, 1, 2), 6: (2, 3, 1),
                       64: (2, 8, 4)}  # fmt: skip
    unguided = told_for(tiny, shipped, "cpu", guidance=0.0, gpus=(2,))
    assert unguided.ranks[0].plan.ulysses == 2


def test_the_text_encoder_is_on_the_first_rank_alone(tiny, shipped):
    parts = tiny.cost.load()(9, 64, 96)
    for device, wide in (("cpu", 4), ("cuda", 2)):
        two = told_for(tiny, shipped, device).ranks[1]
        assert two.first.weights - two.other.weights == parts.text_parameters * wide
        assert "text" in two.first.stages
        assert "text" not in two.other.stages
        assert ("video file" in two.first.stages) == (device == "cpu")
        assert "video file" not in two.other.stages
        assert two.host == two.first.host + two.other.host


def test_rows_of_the_autoencoder_are_shared_where_it_can(tiny, shipped):
    parts = tiny.cost.load()(9, 64, 96)
    # Videos are float32 on a GPU too, where the autoencoder computes in half of it.
    video = 3 * 9 * 64 * 96 * 4
    for device, half in (("cpu", 1), ("cuda", 2)):
        rows = {each.gpus: each for each in told_for(tiny, shipped, device).ranks}
        # Of 16 rows of the latent 6 ranks have 3 at most, and gather 18; of 64 ranks
        # those of a ring, 8, share them.
        for gpus, most, gathered in ((2, 8, 16), (6, 3, 18), (64, 2, 16)):
            for each in (rows[gpus].first, rows[gpus].other):
                encode = int(parts.encode_bytes // half * most / 16)
                decode = int(parts.decode_bytes // half * (most + 2) / 16)
                assert each.stages["encode"] == encode + video
                joined = (2 * most + gathered) * video // 16 + video
                assert each.stages["decode"] == max(decode, joined)


def real_autoencoder_peaks(plan, frames, height, width):
    """The bytes at most alive on this rank while it encodes, and decodes."""
    model = HaarPCA()
    autoencoder = ParallelAutoencoder(model, Ranks.join(plan, "cpu"))
    autoencoder.prove()
    video = torch.rand(1, 3, frames, height, width) * 2 - 1
    latent = model.encode(video)
    known = [*model.parameters(), *model.buffers(), video, latent]
    peaks = {}
    for way, x in (("encode", video), ("decode", latent)):
        # What is planned once, for a size, is no part of it.
        getattr(autoencoder, way)(x)
        with watching(known) as watch:
            getattr(autoencoder, way)(x)
        peaks[way] = watch.peak
    peaks["encode"] += video.nbytes
    return peaks


@pytest.mark.parametrize(
    ("layout", "rows"), [((2, 1, 1), 16), ((1, 3, 1), 16), ((2, 1, 2), 3)]
)
def test_the_foretold_autoencoder_is_that_of_real_ranks(ranks, tiny, layout, rows):
    plan, size = ParallelPlan(*layout), (9, 4 * rows, 96)
    parts = tiny.cost.load()(*size)
    told = autoencoder_bytes(
        {"encode": parts.encode_bytes, "decode": parts.decode_bytes},
        plan, rows=rows, video=4 * 3 * math.prod(size),
    )  # fmt: skip
    peaks = ranks(plan.world, real_autoencoder_peaks, plan, *size)
    for way in ("encode", "decode"):
        real = max(each[way] for each in peaks)
        assert 0.95 * real < told[way] < 1.25 * real


def test_a_picture_of_too_few_rows_is_whole_on_every_rank():
    whole = {"encode": 10, "decode": 20}
    plan = ParallelPlan(ulysses=4)
    assert autoencoder_bytes(whole, plan, rows=3, video=5) == whole
    shared = autoencoder_bytes(whole, plan, rows=4, video=4)
    assert shared == {"encode": 2 + 4, "decode": 15}
    shared = autoencoder_bytes(whole, plan, rows=4, video=400)
    assert shared["decode"] == 2 * 100 + 400 + 400


def test_what_is_not_shared_is_told(tiny, shipped):
    assert told_for(tiny, shipped, "cpu", gpus=()).not_shared == ()
    told = " ".join(told_for(tiny, shipped, "cpu").not_shared)
    assert "every rank holds all weights but those of the text encoder" in told
    assert "autoencoder" not in told
    costless = attrs.evolve(tiny, cost=attrs.evolve(tiny.cost, path=WHOLE))
    made = told_for(costless, shipped, "cpu")
    assert "does not tell how to share its rows" in made.not_shared[-1]
    assert made.ranks[2].first.stages["decode"] == made.ranks[0].first.stages["decode"]


WHOLE = f"{__name__}:whole"


def whole(frames, height, width):
    from worldweave_plugins.tinyworld.cost import cost

    return attrs.evolve(cost(frames, height, width), shares_rows=False)
