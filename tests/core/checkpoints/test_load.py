"""Loading is strict, says why a file does not fit, and needs no more than it keeps."""

import attrs
import pytest
import torch
from torch import nn

from worldweave.checkpoints import layout, store
from worldweave.checkpoints.convert import convert
from worldweave.model.branch import CosmosBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave_registry.errors import WeightsError

TINY = DiTConfig(
    hidden=24,
    heads=2,
    blocks=4,
    text_channels=5,
    adaln_rank=3,
    hint_channels=16,
    hint_widths=(7, 8),
    max_size=(5, 6, 8),
)
NETWORKS = {"dit": DiT, "branch": CosmosBranch}


def network(kind, **sizes):
    with torch.device("meta"):
        return NETWORKS[kind](attrs.evolve(TINY, **sizes))


@pytest.fixture
def stored(tmp_path):
    """Write a network of TINY with some sizes changed, return its path."""

    def write(kind, **sizes):
        shapes = layout.expected_shapes(kind, attrs.evolve(TINY, **sizes))
        path = tmp_path / f"{kind}.safetensors"
        store.write(path, {name: torch.rand(shape) for name, shape in shapes.items()})
        return path

    return write


def load(module, path, dtype=None):
    store.load(module, path, device="cpu", dtype=dtype, what="the branch of edge")


def refusal(module, path):
    with pytest.raises(WeightsError) as error:
        load(module, path)
    message = str(error.value)
    assert message.startswith(f"{path} does not fit the branch of edge: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", ["dit", "branch"])
def test_a_network_on_the_meta_device_gets_every_value(stored, kind):
    path = stored(kind)
    module = network(kind)
    load(module, path)
    found = module.state_dict()
    tensors = store.read(path)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in found)


def test_a_network_with_values_gets_new_ones(stored):
    module = DiT(TINY)
    path = stored("dit")
    load(module, path, torch.bfloat16)
    expected = store.read(path)["time.norm.weight"].bfloat16()
    assert torch.equal(module.time.norm.weight, expected)


def test_everything_is_cast_to_the_dtype_asked_for(stored):
    module = network("branch")
    load(module, stored("branch"), torch.float16)
    assert {p.dtype for p in module.parameters()} == {torch.float16}


def test_what_was_frozen_stays_frozen(stored):
    module = network("branch").requires_grad_(True)
    module.head.requires_grad_(False)
    load(module, stored("branch"))
    frozen = {n for n, p in module.named_parameters() if not p.requires_grad}
    assert frozen == {n for n in module.state_dict() if n.startswith("head.")}


@pytest.mark.parametrize("stem", ["base_model", "edge_control", "vis_control"])
def test_the_golden_files_load_into_the_real_networks(
    golden, golden_config, tmp_path, stem
):
    out = tmp_path / "x.safetensors"
    (written,) = convert(golden / f"{stem}.pt", out).written
    with torch.device("meta"):
        module = NETWORKS[written.kind](golden_config)
    load(module, out, torch.float32)
    assert sum(p.numel() for p in module.parameters()) == written.parameters
    assert not any(p.is_meta for p in module.parameters())


@pytest.mark.parametrize(
    ("kind", "sizes", "cause"),
    [
        (
            "branch",
            {"condition_mask": False},
            "this branch was trained for a base without a condition mask (AV): "
            "68 input features, this base has 72",
        ),
        ("branch", {"hidden": 48}, "hidden size is 48 in the file, 24 here"),
        ("branch", {"heads": 1}, "number of heads is 1 in the file, 2 here"),
        ("branch", {"text_channels": 9}, "text width is 9 in the file, 5 here"),
        ("branch", {"hint_channels": 8}, "number of hint channels is 8 in the file"),
        ("branch", {"hint_widths": (7, 9)}, "widths of the hint network is (7, 9)"),
        ("branch", {"control_blocks": 2}, "number of blocks of the branch is 2 in"),
        ("dit", {"blocks": 5}, "number of blocks is 5 in the file, 4 here"),
        ("dit", {"latent_channels": 4}, "number of latent channels is 4 in the file"),
        ("dit", {"max_size": (5, 6, 4)}, "largest latent (T, H, W) is (5, 6, 4) in"),
        ("dit", {"adaln_rank": 4}, "rank of the modulation is 4 in the file, 3 here"),
        ("dit", {"mlp_ratio": 2}, "MLP ratio is 2 in the file, 4 here"),
    ],
)
def test_a_network_of_another_size_is_refused_with_its_cause(
    stored, kind, sizes, cause
):
    assert cause in refusal(network(kind), stored(kind, **sizes))


def test_a_7b_branch_is_refused_by_the_av_base(stored):
    message = refusal(network("branch", condition_mask=False), stored("branch"))
    assert "for a base with a condition mask: 72 input features, this" in message
    assert "patch_embed.weight is (24, 72), expected (24, 68)" in message


@pytest.mark.parametrize(
    ("file", "module", "cause"),
    [
        ("dit", "branch", "the file holds a DiT, expected a branch"),
        ("branch", "dit", "the file holds a branch, expected a DiT"),
    ],
)
def test_the_wrong_kind_of_network_is_called_so(stored, file, module, cause):
    assert cause in refusal(network(module), stored(file))


def test_a_missing_an_unexpected_and_a_misshaped_key_are_all_named(stored):
    path = stored("branch")
    tensors = dict(store.read(path))
    del tensors["zero.0.bias"]
    tensors |= {"stray": torch.ones(1), "zero.1.bias": torch.ones(7)}
    store.write(path, tensors)
    message = refusal(network("branch"), path)
    assert message.endswith(
        "zero.0.bias is missing; stray is unexpected; "
        "zero.1.bias is (7,), expected (24,)"
    )


def test_of_many_misfits_five_are_shown(stored):
    message = refusal(network("dit", blocks=3), stored("dit"))
    assert message.count("is unexpected") == 5
    assert message.endswith("; and 15 more")


def test_a_refused_file_leaves_the_module_alone(stored):
    module = DiT(TINY)
    before = {name: t.clone() for name, t in module.state_dict().items()}
    refusal(module, stored("dit", blocks=3))
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())


def test_official_names_in_safetensors_are_recognised(tmp_path):
    path = tmp_path / "x.safetensors"
    store.write(path, {"net.affline_norm.weight": torch.ones(24)})
    message = refusal(network("dit"), path)
    assert "its keys are official ones; run worldweave convert" in message


def test_an_unconverted_file_is_sent_to_convert(golden):
    with pytest.raises(WeightsError, match=r"worldweave convert .*edge_control\.pt"):
        load(network("branch"), golden / "edge_control.pt")


class OneBuffer(nn.Module):
    def __init__(self, persistent):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("table", torch.zeros(3), persistent=persistent)


def test_persistent_buffers_are_loaded(tmp_path):
    path = tmp_path / "x.safetensors"
    store.write(path, {"weight": torch.ones(2), "table": torch.arange(3)})
    with torch.device("meta"):
        module = OneBuffer(persistent=True)
    load(module, path, torch.float16)
    assert torch.equal(module.table, torch.arange(3))
    assert "table" in dict(module.named_buffers())


def test_a_buffer_that_no_file_can_fill_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    store.write(path, {"weight": torch.ones(2)})
    with torch.device("meta"):
        module = OneBuffer(persistent=False)
    with pytest.raises(WeightsError, match=r"keeps buffer 'table' out of its state"):
        load(module, path)


def test_a_buffer_outside_the_file_keeps_its_value(tmp_path):
    path = tmp_path / "x.safetensors"
    store.write(path, {"weight": torch.ones(2)})
    module = OneBuffer(persistent=False)
    load(module, path)
    assert torch.equal(module.table, torch.zeros(3))
    assert torch.equal(module.weight, torch.ones(2))


def test_another_modules_misfit_names_keys_without_guessing(tmp_path):
    path = tmp_path / "x.safetensors"
    store.write(path, {"weight": torch.ones(3, 2), "bias": torch.ones(3)})
    message = refusal(nn.Linear(2, 4), path)
    assert message.endswith(
        "edge: weight is (3, 2), expected (4, 2); bias is (3,), expected (4,)"
    )
