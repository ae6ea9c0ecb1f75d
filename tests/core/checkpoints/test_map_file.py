"""Learned maps are written and read with whom they are for, strictly."""

import pytest
import torch

from worldweave.checkpoints import store
from worldweave.checkpoints.map_file import load_map_net, modalities_of, save_map_net
from worldweave.model.config import DiTConfig
from worldweave.model.map_net import MapNet
from worldweave_registry import WeightsError

NAMES = ("depth", "edge")
CONFIG = DiTConfig(
    latent_channels=3, hidden=24, heads=2, hint_channels=4, hint_widths=(8,)
)


@pytest.fixture
def net() -> MapNet:
    torch.manual_seed(0)
    net = MapNet(CONFIG, NAMES)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
    return net


@pytest.fixture
def path(tmp_path, net):
    save_map_net(tmp_path / "maps.safetensors", net, base="toy")
    return tmp_path / "maps.safetensors"


def load(path, config=CONFIG, *, base="toy", wanted=NAMES, dtype=torch.float32):
    return load_map_net(
        path, config, base=base, wanted=wanted, device=torch.device("cpu"), dtype=dtype
    )


def test_what_was_written_is_read_rounded_to_bfloat16(path, net):
    hint = torch.randn(1, 4, 2, 4, 4)
    loaded = load(path)
    assert loaded.names == NAMES
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    net.to(torch.bfloat16).float()
    for name, values in net({"edge": hint, "depth": -hint}).items():
        assert torch.equal(loaded({"edge": hint, "depth": -hint})[name], values)


def test_the_file_says_what_it_is(path):
    assert store.header(path).metadata == {
        "kind": "maps",
        "base": "toy",
        "modalities": "depth edge",
    }
    assert modalities_of(path, base="toy") == NAMES


def test_maps_are_read_in_the_precision_asked_for(path):
    assert {p.dtype for p in load(path, dtype=torch.bfloat16).parameters()} == {
        torch.bfloat16
    }


def test_some_of_the_modalities_are_enough(path):
    assert load(path, wanted=["edge"]).names == NAMES


def test_maps_for_another_base_are_refused(path):
    with pytest.raises(
        WeightsError, match=r"for base 'toy', not 'tiny-world'; train .* --base tiny-wo"
    ):
        load(path, base="tiny-world")


def test_maps_that_know_too_little_are_refused(path):
    with pytest.raises(
        WeightsError,
        match=r"know depth, edge but not seg, vis; give seg, vis another map, or run: "
        r"worldweave train maps --base toy --modalities depth,edge,seg,vis",
    ):
        load(path, wanted=["vis", "edge", "seg"])


def test_other_weights_are_refused(tmp_path):
    other = tmp_path / "edge.safetensors"
    store.write(other, {"x": torch.zeros(1)}, {"kind": "branch", "base": "toy"})
    with pytest.raises(WeightsError, match="holds 'branch', not learned maps; give"):
        load(other)


def test_maps_of_other_sizes_are_refused(path):
    wide = DiTConfig(hint_channels=8, hidden=24, heads=2)
    with pytest.raises(WeightsError, match=r"does not fit learned maps: .* train maps"):
        load(path, wide)


def test_maps_that_lost_their_names_are_refused(path, net):
    tensors = dict(net.state_dict())
    store.write(path, tensors, {"kind": "maps", "base": "toy"})
    with pytest.raises(WeightsError, match="does not say which modalities it knows"):
        load(path)


@pytest.mark.parametrize("kept", [0, 5, 300, -1])
def test_a_damaged_file_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"maps\.safetensors (is|contra)"):
        load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="No such file or directory; check the path"):
        load(tmp_path / "gone.safetensors")
