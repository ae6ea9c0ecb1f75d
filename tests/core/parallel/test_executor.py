"""Ranks together compute what one process computes."""

import attrs
import pytest
import torch
from torch import nn

from worldweave import ControlBranch
from worldweave.blame import NamedBranch
from worldweave.executor import Alone
from worldweave.model.branch import CosmosBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.fusion import normalize
from worldweave.model.step import Step
from worldweave.parallel import executor as executor_module
from worldweave.parallel.executor import InParallel
from worldweave.parallel.sharded import OnTokens, Residuals
from worldweave_kernels.parallel import ParallelPlan, Ranks, Share

CONFIG = DiTConfig(
    latent_channels=4,
    hidden=48,
    heads=4,
    blocks=3,
    text_channels=8,
    adaln_rank=4,
    mlp_ratio=2,
    hint_channels=6,
    hint_widths=(8,),
    control_blocks=2,
    max_size=(4, 12, 12),
)
#: 3 x 3 x 5 tokens: 45, which 2, 4 and 8 ranks do not divide.
LATENT = (3, 6, 10)


class Blurring(ControlBranch):
    """A branch that looks at its neighbours: no rank can compute its part alone."""

    def __init__(self, config):
        super().__init__()
        self.look = nn.Conv3d(config.latent_channels, config.hidden, 3, padding=1)

    def forward(self, latent, step, hint):
        seen = self.look(latent + hint[:, : latent.shape[1]])
        return [seen[..., ::2, ::2].movedim(1, -1)]


def world_of(dtype, device="cpu"):
    """A base, branches, and all they are given; the same in every process."""
    made = torch.Generator().manual_seed(0)

    def random(*shape, scale=1.0):
        return (
            torch.randn(*shape, generator=made, dtype=torch.float64).to(dtype) * scale
        )

    base = DiT(CONFIG)
    branches = {
        "depth": CosmosBranch(CONFIG),
        "edge": CosmosBranch(CONFIG),
        "flow": Blurring(CONFIG),
        "vis": CosmosBranch(CONFIG),
    }
    for module in (base, *branches.values()):
        module.to(dtype).requires_grad_(False)
        for parameter in module.parameters():
            parameter.copy_(random(*parameter.shape, scale=0.2))
    mask = torch.zeros(1, 1, *LATENT, dtype=dtype)
    mask[:, :, :1] = 1.0
    steps = [
        Step(
            c_noise=torch.tensor([0.3], dtype=dtype),
            text=random(1, 5, 8),
            fps=24.0,
            condition_mask=mask,
        )
        for _ in range(2)
    ]
    hints = {name: random(1, 4, *LATENT) for name in branches}
    grid = (LATENT[0], LATENT[1] // 2, LATENT[2] // 2)
    maps = {name: random(1, *grid).abs() for name in branches}
    maps["vis"] = torch.full((1, *grid), 0.5, dtype=dtype)
    values = dict(zip(maps, normalize(list(maps.values())), strict=True))
    return base, branches, random(1, 4, *LATENT), steps, hints, values


def outputs(executor, dtype, texts=2, names=("depth", "edge", "flow", "vis"), grow=1):
    base, branches, latent, steps, hints, maps = world_of(dtype)
    if grow > 1:
        latent = latent.repeat(grow, 1, 1, 1, 1)
        latent[1:] *= 0.5
        steps = [
            each._replace(
                c_noise=each.c_noise.repeat(grow), text=each.text.repeat(grow, 1, 1)
            )
            for each in steps
        ]
    return executor.outputs(
        base,
        {name: branches[name] for name in names},
        latent,
        steps[:texts],
        hints,
        {name: maps[name] for name in names},
    )


def on_a_rank(layout, dtype, *given):
    ranks = Ranks.join(ParallelPlan(**layout))
    return outputs(InParallel(ranks), dtype, *given)


#: Every way to divide 1, 2, 3, 4 and 8 ranks, and some switches.
LAYOUTS = [
    {"cfg": cfg, "ring": world // cfg // ulysses, "ulysses": ulysses}
    for world in (1, 2, 3, 4, 8)
    for cfg in (1, 2)
    for ulysses in (1, 2, 4)
    if world % (cfg * ulysses) == 0
]
SWITCHED = [
    {"ulysses": 2, "chunks": 2},
    {"ulysses": 2, "early_values": True},
    {"ring": 2, "ulysses": 2, "chunks": 2, "shared_exchange": False},
    {"ring": 2, "shared_exchange": False, "early_values": True},
]


def told(layout):
    return ",".join(f"{name}={value}" for name, value in layout.items())


def furthest(found, wanted):
    """The largest difference on any rank, as a share of what is wanted."""
    scale = max(each.abs().max() for each in wanted)
    return max(
        float((one - other).abs().max() / scale)
        for rank in found
        for one, other in zip(rank, wanted, strict=True)
    )


@pytest.mark.parametrize("layout", [*LAYOUTS, *SWITCHED], ids=told)
def test_every_layout_computes_what_one_process_computes(ranks, layout):
    wanted = outputs(Alone(), torch.float32)
    world = ParallelPlan(**layout).world
    found = ranks(world, on_a_rank, layout, torch.float32)
    assert furthest(found, wanted) < 1e-5
    assert furthest(found[1:], found[0]) == 0 if world > 1 else True


def test_halves_of_guidance_alone_change_no_bit(ranks):
    wanted = outputs(Alone(), torch.float32)
    found = ranks(2, on_a_rank, {"cfg": 2}, torch.float32)
    assert furthest(found, wanted) == 0


@pytest.mark.parametrize("names", [(), ("edge",), ("flow",)])
@pytest.mark.parametrize("texts", [1, 2])
def test_any_branches_with_and_without_guidance(ranks, texts, names):
    wanted = outputs(Alone(), torch.float32, texts, names)
    layout = {"cfg": 2, "ulysses": 2}
    found = ranks(4, on_a_rank, layout, torch.float32, texts, names)
    assert len(found[0]) == texts
    assert furthest(found, wanted) < 1e-5


def test_a_batch_of_two(ranks):
    given = (torch.float32, 2, ("depth", "edge"), 2)
    found = ranks(4, on_a_rank, {"ring": 2, "ulysses": 2}, *given)
    assert furthest(found, outputs(Alone(), *given)) < 1e-5


def counted(layout):
    """How often this rank exchanges in one evaluation, and how much at once."""
    import torch.distributed as dist

    calls = []
    plain = dist.all_to_all_single

    def counting(into, send, *more, **named):
        calls.append(send.shape[-2])
        return plain(into, send, *more, **named)

    dist.all_to_all_single = counting
    try:
        on_a_rank(layout, torch.float32, 1)
    finally:
        dist.all_to_all_single = plain
    return len(calls)


def test_base_and_branches_of_a_depth_share_one_exchange(ranks):
    # 3 blocks of the base, there and back; with them those of three branches.
    assert ranks(2, counted, {"ulysses": 2}) == [6, 6]
    # Else each of the 3 + 3 * 2 blocks has its own.
    apart = {"ulysses": 2, "shared_exchange": False}
    assert ranks(2, counted, apart) == [18, 18]


def test_a_branch_that_looks_around_is_run_whole_and_said_to_be():
    executor = InParallel(Ranks(ParallelPlan(), torch.device("cpu")))
    assert executor.runs_whole(Blurring(CONFIG))
    assert not executor.runs_whole(CosmosBranch(CONFIG))


def in_a_row(layout):
    """The outputs of one executor under one setting after another, and of `Alone`."""
    base, branches, latent, steps, hints, maps = world_of(torch.float32)
    parallel = InParallel(Ranks.join(ParallelPlan(**layout)))
    padding = torch.zeros(1, 1, *LATENT)
    padding[..., -2:] = 1.0
    shorter = {name: hint[:, :, :2] for name, hint in hints.items()}
    short_maps = {name: map_[:, :2] for name, map_ in maps.items()}
    short_steps = [each._replace(condition_mask=None) for each in steps]
    slower = [each._replace(fps=12.0) for each in steps]
    padded = [each._replace(padding_mask=padding) for each in steps]
    settings = [
        (latent, steps, hints, maps),
        (latent, slower, hints, maps),
        (latent[:, :, :2], short_steps, shorter, short_maps),
        (latent, padded, hints, maps),
        (latent, steps, hints, maps),
    ]
    made = []
    for given in settings:
        args = (base, branches, *given)
        made.append((parallel.outputs(*args), Alone().outputs(*args)))
    # What is learned anew or put in another place shows at once.
    base.positions.t.mul_(1.5)
    base.blocks[1].mlp = type(base.blocks[1].mlp)(CONFIG)
    for parameter in base.blocks[1].mlp.parameters():
        parameter.requires_grad_(False).fill_(0.01)
    args = (base, branches, *settings[0])
    made.append((parallel.outputs(*args), Alone().outputs(*args)))
    return made


def test_other_sizes_rates_masks_and_weights_one_after_another(ranks):
    for rank in ranks(2, in_a_row, {"ulysses": 2}):
        for found, wanted in rank:
            assert furthest([found], wanted) < 1e-5


def complaint(layout, what):
    """What is said of something that does not fit."""
    base, branches, latent, steps, hints, maps = world_of(torch.float32)
    branches = {"edge": branches["edge"]}
    if what == "hint":
        hints["edge"] = hints["edge"].transpose(-1, -2)
    if what == "blocks":
        branches["edge"] = CosmosBranch(attrs.evolve(CONFIG, control_blocks=4))
    if what == "map":
        maps["edge"] = maps["edge"][:, :1]
    try:
        executor = InParallel(Ranks.join(ParallelPlan(**layout)))
        executor.outputs(base, branches, latent, steps, hints, maps)
    except ValueError as error:
        return f"{type(error).__name__}: {error}"
    return "computed"


@pytest.mark.parametrize("what", ["hint", "blocks", "map"])
def test_what_does_not_fit_is_told_as_one_process_tells_it(ranks, what):
    (alone,) = ranks(1, complaint, {}, what)
    assert alone != "computed"
    assert ranks(2, complaint, {"ulysses": 2}, what) == [alone] * 2


def half_gone(layout, rank):
    """What fails where a rank leaves in the middle of an exchange."""
    import torch.distributed as dist

    base, branches, *rest = world_of(torch.float32)
    named = {
        name: NamedBranch(name, find(name), branches[name])
        for name in ("depth", "edge")
    }
    executor = InParallel(Ranks.join(ParallelPlan(**layout)))
    if dist.get_rank() == rank:
        return "left"
    plain, dist.all_to_all_single = dist.all_to_all_single, raising
    try:
        executor.outputs(base, named, *rest)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        dist.all_to_all_single = plain
    return "computed"


def raising(*_, **__):
    raise RuntimeError("[gloo] Connection closed by peer")


def find(name):
    import worldweave

    return worldweave.discover().find(name)


@pytest.mark.parametrize("shared", [True, False])
def test_an_exchange_that_fails_is_no_branch_s_fault(ranks, shared):
    layout = {"ulysses": 2, "shared_exchange": shared}
    said = ranks(2, half_gone, layout, 1)
    assert said[0] == "RuntimeError: [gloo] Connection closed by peer"


# Slips in what lies around the attention: each must show


def swap_the_halves_of_guidance():
    plain = InParallel._both_halves
    InParallel._both_halves = lambda self, made: plain(self, made).flip(0)


def take_the_hint_of_other_tokens():
    plain = executor_module.strip

    def slip(x, share, patch):
        return (
            plain(x, share, patch).flip(-1)
            if x.shape[1] == 4
            else plain(x, share, patch)
        )

    executor_module.strip = slip


def leave_the_residuals_of_a_whole_branch_uncut():
    plain = executor_module.strip_tokens

    def slip(x, share):
        if x.ndim < 5:
            return plain(x, share)
        return x.flatten(1, 3)[:, : share.size][:, None, None]

    executor_module.strip_tokens = slip


def forget_which_frames_are_given():
    plain = executor_module._own_step

    def slip(*given):
        step = plain(*given)
        return step._replace(condition_mask=torch.zeros_like(step.condition_mask))

    executor_module._own_step = slip


def take_positions_of_other_tokens():
    plain = OnTokens.surroundings

    def slip(self, *given):
        around = plain(self, *given)
        return around | {"positions": around["positions"].flip(0)}

    OnTokens.surroundings = slip


def turn_by_angles_of_other_tokens():
    plain = OnTokens.surroundings

    def slip(self, *given):
        around = plain(self, *given)
        if self.place.share.index == 1:
            around["rope"] = tuple(each.roll(1, 0) for each in around["rope"])
        return around

    OnTokens.surroundings = slip


def add_the_first_residual_everywhere():
    Residuals.__getitem__ = lambda self, index: self._made[0]


def take_the_map_of_other_tokens():
    plain = executor_module.strip_tokens
    executor_module.strip_tokens = lambda x, share: plain(x.flip(-1), share)


def gather_in_another_order():
    plain = Share.join

    def slip(self, x, dim, group):
        return plain(self, x, dim, group).roll(self.size, dim)

    Share.join = slip


SLIPS = [
    swap_the_halves_of_guidance,
    take_the_hint_of_other_tokens,
    leave_the_residuals_of_a_whole_branch_uncut,
    forget_which_frames_are_given,
    take_positions_of_other_tokens,
    turn_by_angles_of_other_tokens,
    add_the_first_residual_everywhere,
    take_the_map_of_other_tokens,
    gather_in_another_order,
]


def slipped(number):
    """What a rank computes where something is wrong; all is put back afterwards."""
    kinds = (InParallel, OnTokens, Residuals, Share, executor_module)
    before = [dict(vars(kind)) for kind in kinds]
    SLIPS[number]()
    try:
        # The first slip is about the halves of guidance.
        layout = {"ulysses": 2} if number else {"cfg": 2}
        return on_a_rank(layout, torch.float32, 2 if number == 0 else 1)
    finally:
        for kind, names in zip(kinds, before, strict=True):
            for name, value in names.items():
                if vars(kind).get(name) is not value:
                    setattr(kind, name, value)


@pytest.mark.parametrize("number", range(len(SLIPS)), ids=[s.__name__ for s in SLIPS])
def test_a_slip_shows(ranks, number):
    wanted = outputs(Alone(), torch.float32, 2 if number == 0 else 1)
    assert furthest(ranks(2, slipped, number), wanted) > 1e-3


def test_after_the_slips_all_is_right_again(ranks):
    found = ranks(4, on_a_rank, {"cfg": 2, "ulysses": 2}, torch.float32)
    assert furthest(found, outputs(Alone(), torch.float32)) < 1e-5
