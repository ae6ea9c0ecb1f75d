"""Learned maps: any modalities in any order, local, small, and even to start with."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from worldweave.model.branch import CosmosBranch
from worldweave.model.config import DiTConfig
from worldweave.model.fusion import normalize
from worldweave.model.map_net import MapNet
from worldweave.model.step import Step

NAMES = ("depth", "edge", "seg", "vis")
SIZE = (3, 4, 6)
GRID = (3, 2, 3)

# The tiny world's sizes; those of a plugin, so they are repeated here.
TINY = DiTConfig(
    latent_channels=32,
    hidden=192,
    heads=4,
    blocks=6,
    text_channels=128,
    adaln_rank=48,
    hint_channels=192,
    hint_widths=(192,),
    max_size=(3, 16, 24),
)


@pytest.fixture
def net(config, alive) -> MapNet:
    return alive(MapNet(config, NAMES), 1)


@pytest.fixture
def hints(config):
    return {name: random(i, 2, config.hint_channels) for i, name in enumerate(NAMES)}


def random(seed, batch, channels, size=SIZE):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, *size, generator=generator)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
def test_any_modalities_in_any_order_get_the_same_maps(net, hints, names):
    maps = net({name: hints[name] for name in names})
    assert list(maps) == names
    for values in maps.values():
        assert values.shape == (2, *GRID)
        assert values.dtype == torch.float32
        assert values.min() >= 0.0
    total = torch.stack(list(maps.values())).sum(0)
    torch.testing.assert_close(total, torch.ones(2, *GRID))
    again = net({name: hints[name] for name in sorted(names)})
    assert all(torch.equal(maps[name], again[name]) for name in names)


def test_a_modality_alone_gets_all(net, hints):
    assert torch.equal(net({"seg": hints["seg"]})["seg"], torch.ones(2, *GRID))


def test_a_fresh_network_lets_all_modalities_share_alike(config, hints):
    maps = MapNet(config, NAMES)(hints)
    for values in maps.values():
        assert torch.equal(values, torch.full((2, *GRID), 0.25))
    for values in normalize(list(maps.values())):
        assert torch.equal(values, torch.full((2, *GRID), 0.25))


def test_a_map_depends_on_the_place(net, hints):
    for values in net(hints).values():
        assert values.flatten(1).std(1).min() > 1e-3


def test_a_modality_counts_for_what_others_are_to_each_other(net, hints):
    def odds(**more):
        maps = net({"edge": hints["edge"], "seg": hints["seg"], **more})
        return (maps["edge"] / maps["seg"]).log()

    beside = odds(vis=hints["vis"])
    assert (odds() - beside).abs().max() > 1e-3
    assert (odds(vis=-hints["vis"]) - beside).abs().max() > 1e-3


def test_a_hint_is_read_by_what_it_is_called(net, hints):
    one = net({"edge": hints["edge"], "vis": hints["vis"]})["edge"]
    other = net({"seg": hints["edge"], "vis": hints["vis"]})["seg"]
    assert (one - other).abs().max() > 1e-3


def edge_beside(net, hint):
    """The map of an edge hint beside a hint of zeros."""
    return net({"edge": hint, "vis": torch.zeros_like(hint)})["edge"]


def test_a_map_changes_around_what_changes_and_not_far_from_it(config, alive):
    net = alive(MapNet(config, NAMES), 1)
    hint = random(0, 1, config.hint_channels, (1, 16, 16))
    changed = hint.clone()
    changed[..., :2, :2] += 1.0
    moved = (edge_beside(net, hint) - edge_beside(net, changed))[0, 0]
    assert (moved[:3, :3] != 0).all()
    assert torch.equal(moved[3:], torch.zeros(5, 8))
    assert torch.equal(moved[:, 3:], torch.zeros(8, 5))


def test_a_map_looks_at_the_frames_beside_it(config, alive):
    net = alive(MapNet(config, NAMES), 1)
    hint = random(0, 1, config.hint_channels, (6, 4, 4))
    changed = hint.clone()
    changed[:, :, 0] += 1.0
    moved = (edge_beside(net, hint) - edge_beside(net, changed))[0]
    assert [bool(frame.any()) for frame in moved] == [True] * 3 + [False] * 3


def test_what_is_under_a_token_reaches_its_map_past_the_neighbours(net, hints):
    with torch.no_grad():
        for layer in net.trunk:
            layer.mix.weight.zero_()
            layer.mix.bias.zero_()
    moved = edge_beside(net, hints["edge"]) - edge_beside(net, -hints["edge"])
    assert moved.abs().min() > 0


def test_samples_do_not_mix(net, hints):
    both = net(hints)
    for name, values in net({n: h[1:] for n, h in hints.items()}).items():
        torch.testing.assert_close(values, both[name][1:])
        assert (values - both[name][:1]).abs().max() > 1e-3


def test_one_hint_serves_a_whole_batch(net, hints):
    one = {"edge": hints["edge"][:1], "seg": hints["seg"]}
    whole = {"edge": hints["edge"][:1].expand(2, -1, -1, -1, -1), "seg": hints["seg"]}
    maps, wanted = net(one), net(whole)
    for name, values in maps.items():
        assert values.shape == (2, *GRID)
        torch.testing.assert_close(values, wanted[name])


def test_a_narrow_hint_is_padded_with_zeros(net, hints):
    narrow = hints["edge"][:, :4]
    wide = torch.cat([narrow, torch.zeros_like(hints["edge"][:, 4:])], dim=1)
    assert torch.equal(edge_beside(net, narrow), edge_beside(net, wide))


def test_an_unknown_modality_is_refused(net, hints):
    with pytest.raises(ValueError, match="know depth, edge, seg, vis but not lidar; t"):
        net({**hints, "lidar": hints["edge"]})


def test_no_hint_is_refused(net):
    with pytest.raises(ValueError, match="there are no hints to predict maps from"):
        net({})


def test_hints_of_different_sizes_are_refused(net, hints):
    wide = torch.cat([hints["seg"]] * 2, dim=-1)
    with pytest.raises(ValueError, match="edge 3x4x6, seg 3x4x12; bring all controls"):
        net({"edge": hints["edge"], "seg": wide})


def test_a_hint_that_does_not_divide_into_tokens_is_refused(net, hints):
    with pytest.raises(ValueError, match="does not divide into patches"):
        net({"edge": hints["edge"][..., :5]})


def test_a_network_of_no_modality_is_refused(config):
    with pytest.raises(ValueError, match="knows no modality"):
        MapNet(config, [])


def test_the_order_of_names_is_not_kept_and_none_counts_twice(config):
    one, other = MapNet(config, NAMES), MapNet(config, [*NAMES[::-1], "edge"])
    assert one.names == other.names == NAMES
    assert list(one.state_dict()) == list(other.state_dict())


def test_a_modality_may_be_called_anything(config, hints):
    odd = ["keys", "type", "training", "values"]
    net = MapNet(config, odd)
    maps = net(dict(zip(odd, hints.values(), strict=True)))
    assert list(maps) == odd
    for name in odd:
        assert any(name in key for key in net.state_dict())


def test_every_weight_gets_a_gradient(net, hints):
    sum(values.square().sum() for values in net(hints).values()).backward()
    idle = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_in_bfloat16_maps_stay_near_and_in_float32(net, hints):
    exact = net(hints)
    half = torch.bfloat16
    for name, values in net.to(half)({n: h.to(half) for n, h in hints.items()}).items():
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, exact[name], rtol=0, atol=0.03)


def test_for_the_tiny_world_it_is_small_and_cheap():
    names = ["depth", "edge", "hdmap", "lidar", "seg", "vis"]
    with torch.device("meta"):
        net, branch = MapNet(TINY, names), CosmosBranch(TINY)
        hint, latent = torch.empty(1, 192, 3, 16, 24), torch.empty(1, 32, 3, 16, 24)
        step = Step(c_noise=torch.empty(1), text=torch.empty(1, 8, 128))
    assert 2 * sum(p.numel() for p in net.parameters()) < 1_000_000
    with FlopCounterMode(display=False) as maps:
        net(dict.fromkeys(names, hint))
    with FlopCounterMode(display=False) as one_evaluation:
        branch(latent, step, hint)
    assert maps.get_total_flops() < 0.5 * one_evaluation.get_total_flops()
