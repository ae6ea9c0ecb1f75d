"""What is recorded of an evaluation stands for it, and ends when it no longer does."""

import gc
import weakref

import pytest
import torch

from worldweave import ControlBranch, WorldweaveError
from worldweave.blame import NamedBranch
from worldweave.model.branch import CosmosBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave.model.weave import weave
from worldweave.parallel.graph import (
    MOST,
    Calls,
    CudaGraphs,
    Recorded,
    each_time,
    evaluate_for,
)
from worldweave_kernels.parallel import ParallelPlan, Ranks
from worldweave_registry import discover

ON_A_GPU = torch.cuda.is_available()
CONFIG = DiTConfig(
    latent_channels=4, hidden=48, heads=4, blocks=3, text_channels=8, adaln_rank=4,
    mlp_ratio=2, hint_channels=6, hint_widths=(8,), control_blocks=2,
    max_size=(4, 12, 12),
)  # fmt: skip
SIZE = (3, 6, 10)


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


def made(kind, seed=0):
    torch.manual_seed(seed)
    module = kind(CONFIG).requires_grad_(False)
    for parameter in module.parameters():
        parameter.normal_(std=0.2)
    return module


class World:
    """A base, two branches, and what an evaluation of them is given."""

    def __init__(self):
        self.base = made(DiT)
        self.branches = {"depth": made(CosmosBranch, 1), "edge": made(CosmosBranch, 2)}
        self.said = Diary()
        self.recorded = Recorded(self.said)

    def given(self, seed=0, *, names=None, size=SIZE, text=5, fps=24.0, masked=False):
        generator = torch.Generator().manual_seed(seed)

        def random(*shape):
            return torch.randn(*shape, generator=generator)

        names = self.branches if names is None else names
        t, h, w = size
        step = Step(random(1), random(1, text, 8), fps)
        if masked:
            step = step._replace(condition_mask=torch.ones(1, 1, *size))
        return (
            self.base,
            {name: self.branches[name] for name in names},
            random(1, 4, *size),
            step,
            {name: random(1, 4, *size) for name in self.branches},
            {name: random(1, t, h // 2, w // 2).abs() for name in self.branches},
        )

    def __call__(self, *seed, **form):
        """Evaluate by recordings; refuse what is not what it stands for."""
        given = self.given(*seed, **form)
        found = self.recorded(weave, *given)
        assert torch.equal(found, weave(*given))
        return found


@pytest.fixture
def world():
    return World()


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def test_the_first_is_computed_the_second_recorded_and_then_it_is_replayed(world):
    outputs = [world(seed) for seed in range(4)]
    assert world.said.asked == ["warmed", "recorded"]
    assert len(world.recorded) == 1
    assert not torch.equal(outputs[2], outputs[3])


def test_a_recording_reads_its_inputs_where_they_lay(world):
    places = []

    def compute(dit, branches, *inputs):
        latent, step, hints, maps = inputs
        read = [latent, step.c_noise, step.text, *hints.values(), *maps.values()]
        places.append([each.data_ptr() for each in read])
        return weave(dit, branches, *inputs)

    for seed in range(3):
        given = world.given(seed)
        own = {each.data_ptr() for each in (given[2], *given[4].values())}
        assert torch.equal(world.recorded(compute, *given), weave(*given))
        assert not own & set(places[-1])
    assert places[0] == places[1] == places[2]


@pytest.mark.parametrize(
    "other", [{"names": ("edge",)}, {"names": ()}, {"text": 7}, {"masked": True}],
    ids=str,
)  # fmt: skip
def test_another_kind_has_a_recording_of_its_own(world, other):
    for seed in range(3):
        world(seed)
        world(seed, **other)
    assert len(world.recorded) == 2
    assert world.said.asked == ["warmed"] * 2 + ["recorded"] * 2


def test_what_is_of_the_same_sizes_is_not_taken_for_another(world):
    world(names=("edge",))
    world(names=("depth",))
    assert len(world.recorded) == 2
    first, world.base = world.base, made(DiT, 5)
    world(names=("edge",))
    assert len(world.recorded) == 3
    world.base = first
    world(names=("depth",))
    assert world.said.asked == ["warmed"] * 3 + ["recorded"]


@pytest.mark.parametrize("other", [{"size": (3, 6, 8)}, {"fps": 12.0}, {"fps": None}])
def test_with_the_size_or_the_frame_rate_all_recordings_end(world, other):
    world()
    world(names=("edge",))
    assert len(world.recorded) == 2
    world(**other)
    assert len(world.recorded) == 1
    # Back again: what was kept beside it is gone.
    world()
    assert world.said.asked == ["warmed"] * 4


def test_a_branch_that_is_disabled_is_freed_with_its_recordings(world):
    world()
    world()
    world(names=("edge",))
    gone = weakref.ref(world.branches.pop("depth"))
    assert gone() is None
    assert len(world.recorded) == 1
    # Another may lie where it lay.
    world.branches = {"depth": made(CosmosBranch, 3), **world.branches}
    world()
    assert world.said.asked[-1] == "warmed"


def test_a_base_that_goes_takes_its_recordings_along(world):
    world()
    world()
    gone = weakref.ref(world.base)
    world.base = made(DiT, 5)
    assert gone() is None
    assert len(world.recorded) == 0


def test_recordings_go_with_what_holds_them():
    held = World()
    held()
    held()
    gc.disable()
    try:
        gone = weakref.ref(held.recorded)
        held.recorded = None
        assert gone() is None
        # And branches that outlive them tell no one.
        held.branches.clear()
    finally:
        gc.enable()


def test_parameters_that_move_or_are_replaced_are_recorded_anew(world):
    world()
    world()
    layer = world.base.blocks[1].mlp.up
    layer.weight.data = layer.weight.data.clone()
    world()
    assert world.said.asked == ["warmed", "recorded", "warmed"]
    zero = world.branches["edge"].zero[0]
    zero.weight = torch.nn.Parameter(2 * zero.weight, requires_grad=False)
    world()
    assert world.said.asked == ["warmed", "recorded", "warmed", "warmed"]
    # In place is where it was.
    layer.weight.mul_(2)
    world()
    assert world.said.asked[4:] == ["recorded"]


def test_not_too_many_are_kept(world):
    for length in range(1, MOST + 3):
        world(text=length)
    assert len(world.recorded) == MOST
    world(text=MOST + 2)
    assert world.said.asked[-1] == "recorded"
    world(text=1)
    assert world.said.asked[-1] == "warmed"


@pytest.mark.parametrize("first", [True, False])
def test_inference_mode_or_not_is_the_same_to_a_recording(world, first):
    for mode in (first, not first, first):
        with torch.inference_mode(mode):
            world()
    assert len(world.recorded) == 1


class Restless(ControlBranch):
    """Does another thing when it is called again: a graph would not."""

    def __init__(self, config):
        super().__init__()
        self.calls = 0
        self.config = config

    def forward(self, latent, step, hint):
        self.calls += 1
        return []


def test_unknown_code_is_refused_by_the_name_of_its_branch(world):
    world.branches["flow"] = Restless(CONFIG)
    with pytest.raises(
        WorldweaveError, match=r"branch of 'flow' has code .*or disable 'flow'"
    ):
        world()
    world.branches["flow"] = lambda latent, step, hint: []
    with pytest.raises(WorldweaveError, match=r"the branch of 'flow'"):
        world()
    del world.branches["flow"]
    world()


def test_a_branch_is_the_same_whoever_names_it(world):
    own, modality = world.branches["edge"], discover().find("edge")
    for seed in range(3):
        world.branches["edge"] = NamedBranch("edge", modality, own)
        world(seed, names=("edge",))
    assert world.said.asked == ["warmed", "recorded"]


@pytest.mark.parametrize("of", ["parameter", "input"])
def test_a_gradient_is_refused(world, of):
    given = world.given()
    wanted = world.base.head.linear.weight if of == "parameter" else given[2]
    wanted.requires_grad_(True)
    with torch.enable_grad(), pytest.raises(ValueError, match="no_grad"):
        world.recorded(weave, *given)
    # Not wanted here.
    world.recorded(weave, *given)


def test_graphs_of_a_cpu_are_refused():
    on_cpu = torch.device("cpu")
    assert evaluate_for(Ranks(ParallelPlan(), on_cpu)) is each_time
    with pytest.raises(
        WorldweaveError, match="device is 'cpu', which has no CUDA graphs; give a GPU"
    ):
        evaluate_for(Ranks(ParallelPlan(cuda_graph=True), on_cpu))


def test_each_time_it_is_computed_anew(world):
    given = world.given()
    assert torch.equal(each_time(weave, *given), weave(*given))


# On a GPU

needs_a_gpu = pytest.mark.skipif(not ON_A_GPU, reason="needs a GPU")


@pytest.mark.gpu
@needs_a_gpu
def test_graphs_of_several_kinds_do_not_overwrite_each_other():
    world = World()
    world.base.cuda()
    for each in world.branches.values():
        each.cuda()
    recorded = Recorded(CudaGraphs(torch.device("cuda")))

    def given(seed, **form):
        base, branches, latent, step, *more = world.given(seed, **form)
        step = step._replace(c_noise=step.c_noise.cuda(), text=step.text.cuda())
        more = [{n: x.cuda() for n, x in each.items()} for each in more]
        return base, branches, latent.cuda(), step, *more

    forms = ({}, {"names": ("edge",)}, {"names": ()}, {"text": 9})
    for seed in range(4):
        all_of_them = [given(seed, **form) for form in forms]
        found = [recorded(weave, *each) for each in all_of_them]
        for one, each in zip(found, all_of_them, strict=True):
            wanted = weave(*each)
            assert (one - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert len(recorded) == len(forms)


@pytest.mark.gpu
@needs_a_gpu
def test_graphs_that_are_gone_give_their_memory_back_and_others_follow():
    world = World()
    world.base.cuda()
    recorded = Recorded(CudaGraphs(torch.device("cuda")))
    x = torch.randn(8, 8, device="cuda")

    def compute(dit, branches, latent, step, hints, maps):
        return (latent @ x).relu()

    for _ in range(3):
        for size in (8, 16):
            latent = torch.randn(size, 8, device="cuda")
            for _ in range(3):
                found = recorded(compute, world.base, {}, latent, Step(x, x), {}, {})
                assert torch.equal(found, (latent @ x).relu())


@pytest.mark.gpu
@needs_a_gpu
def test_what_cannot_be_recorded_is_told():
    world = World()
    recorded = Recorded(CudaGraphs(torch.device("cuda")))
    latent = torch.randn(8, 8, device="cuda")

    def compute(dit, branches, latent, step, hints, maps):
        return latent * float(latent.sum())

    given = (compute, world.base.cuda(), {}, latent, Step(latent, latent), {}, {})
    recorded(*given)
    with pytest.raises(WorldweaveError, match="cannot be recorded as a CUDA graph"):
        recorded(*given)
