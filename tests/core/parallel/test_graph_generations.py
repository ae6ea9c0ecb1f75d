"""A whole generation by recordings is the generation."""

import attrs
import numpy as np
import pytest
import torch

import worldweave
from worldweave import Control, Request, WorldweaveError
from worldweave.executor import Alone
from worldweave.maps import Schedule
from worldweave.parallel import parallelize
from worldweave.parallel.executor import InParallel
from worldweave.parallel.graph import Calls, Recorded
from worldweave_kernels.parallel import ParallelPlan, Ranks

ON_A_GPU = torch.cuda.is_available()
FRAMES = 5


def source():
    """A box that drives past, uint8 (T, H, W, 3)."""
    frames = np.full((FRAMES, 64, 96, 3), (90, 120, 160), np.uint8)
    for at, frame in enumerate(frames):
        frame[30:50, 10 + 3 * at : 34 + 3 * at] = (200, 40, 30)
    return frames


def request(**settings):
    """A chunk under a map, and a branch that runs at some of its steps only."""
    ramp = np.linspace(0.0, 1.0, FRAMES * 64 * 96, dtype=np.float32)
    late = Schedule(interval=(0.002, 1.0))
    return {
        "prompt": "a red car on a street by day",
        "video": source(),
        "controls": {
            "edge": Control(map=ramp.reshape(FRAMES, 64, 96)),
            "vis": Control(map=0.5, schedule=late),
        },
        "steps": 3,
        "guidance": 3.0,
        "seed": 5,
        **settings,
    }


class Diary(Calls):
    """Remembers what was asked of it."""

    def __init__(self):
        self.asked = []

    def warmed(self, launch):
        self.asked.append("warmed")
        return super().warmed(launch)

    def recorded(self, launch):
        self.asked.append("recorded")
        return super().recorded(launch)


class Listening:
    """An autoencoder that remembers what it is given to decode."""

    def __init__(self, own):
        self.own = own
        self.time_stride, self.space_stride = own.time_stride, own.space_stride
        self.encode, self.encode_hint = own.encode, own.encode_hint
        self.latents = []

    def decode(self, latent):
        self.latents.append(latent.cpu())
        return self.own.decode(latent)


def latents(executor, device="cpu", dtype=None):
    """What is decoded in the end."""
    pipeline = worldweave.load(modalities=["edge", "vis"], device=device, dtype=dtype)
    ears = Listening(pipeline.base.autoencoder)
    base = attrs.evolve(pipeline.base, autoencoder=ears, executor=executor)
    pipeline.on(base).run(Request(base="tiny-world", **request()))
    (latent,) = ears.latents
    return latent


def by_recordings(layout):
    """What recordings were made, whether they give the same bits, and the latent."""
    ranks, said = Ranks.join(ParallelPlan(**layout)), Diary()
    executor = InParallel(ranks)
    executor._evaluate = Recorded(said)
    found = latents(executor)
    return said.asked, torch.equal(found, latents(InParallel(ranks))), found.numpy()


def test_graphs_are_refused_where_there_is_no_gpu(pipeline):
    if pipeline.base.placement.device.type == "cuda":
        pytest.skip("there is a GPU")
    with pytest.raises(WorldweaveError, match="cuda_graph is on but the device is"):
        parallelize(pipeline, ParallelPlan(cuda_graph=True))


#: With edge alone, and with both.
MADE = ["recorded"] * 2 + ["warmed"] * 2


def test_a_generation_by_recordings_is_the_generation():
    asked, is_same, found = by_recordings({})
    assert sorted(asked) == MADE
    assert is_same
    assert np.array_equal(found, latents(Alone()).numpy())


def test_on_many_ranks_too(ranks):
    layout = {"cfg": 2, "ulysses": 2, "chunks": 2}
    for asked, is_same, _ in ranks(4, by_recordings, layout):
        assert sorted(asked) == MADE
        assert is_same


# On a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not ON_A_GPU, reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_generation_by_graphs_is_the_generation(dtype):
    device = torch.device("cuda")
    wanted = latents(InParallel(Ranks(ParallelPlan(), device)), device, dtype)
    executor = InParallel(Ranks(ParallelPlan(cuda_graph=True), device))
    found = latents(executor, device, dtype)
    assert len(executor._evaluate) == 2
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
