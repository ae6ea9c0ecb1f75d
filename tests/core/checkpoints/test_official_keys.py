"""Official keys become our names, and nothing else does."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave.checkpoints import layout, official
from worldweave.model.config import DiTConfig
from worldweave_registry.errors import WeightsError

BRANCH_NAMES = sorted(layout.expected_shapes("branch", DiTConfig()))
DIT_NAMES = sorted(layout.expected_shapes("dit", DiTConfig()))
FORMS = ("", "net.", "base_model.", "base_model.net.", "net.base_model.net.")


def test_every_name_of_both_networks_has_an_official_key_and_back():
    for name in {*BRANCH_NAMES, *DIT_NAMES}:
        assert official.our_name(official.official_name(name)) == name


def test_every_key_of_the_golden_files_is_known_or_ignored(base_state, edge_state):
    ignored = {key for key in (*base_state, *edge_state) if official.is_ignored(key)}
    assert ignored == {"base_model.net.pos_embedder.seq", "net.pos_embedder.seq"}
    (base,), (edge,) = official.parts(base_state), official.parts(edge_state)
    assert (base.kind, len(base.keys)) == ("dit", len(base_state) - 1)
    assert (edge.kind, len(edge.keys)) == ("branch", len(edge_state) - 1)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("blocks.0.block.attn.to_q.0.weight", "self_attention.q.weight"),
        ("blocks.0.block.attn.to_q.1.weight", "self_attention.q_norm.weight"),
        ("blocks.1.block.attn.to_out.0.weight", "cross_attention.out.weight"),
        ("blocks.2.block.layer1.weight", "mlp.up.weight"),
        ("blocks.2.block.layer2.weight", "mlp.down.weight"),
        ("blocks.2.adaLN_modulation.1.weight", "modulation.2.down.weight"),
        ("blocks.0.adaLN_modulation.2.weight", "modulation.0.up.weight"),
    ],
)
def test_a_key_of_a_block_becomes_its_name(key, name):
    assert official.our_name(f"blocks.block27.{key}") == f"blocks.27.{name}"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("final_layer.adaLN_modulation.2.weight", "head.modulation.up.weight"),
        ("affline_norm.weight", "time.norm.weight"),
        ("input_hint_block.14.bias", "hint_mlp.14.bias"),
        ("zero_blocks.block2.weight", "zero.2.weight"),
    ],
)
def test_a_key_outside_the_blocks_becomes_its_name(key, name):
    assert official.our_name(key) == name


@settings(deadline=None)
@given(name=st.sampled_from(DIT_NAMES), prefix=st.sampled_from(FORMS))
def test_prefixes_do_not_change_the_name(name, prefix):
    key = prefix + official.official_name(name)
    (part,) = official.parts([key])
    assert part.keys == {name: key}


@pytest.mark.parametrize("prefix", FORMS)
@pytest.mark.parametrize(
    "key",
    [
        "pos_embedder.seq",
        "logvar.1.weight",
        "_extra_state",
        "blocks.block0.blocks.0.block.attn.attn_op._extra_state",
        "blocks.block0.blocks.0.block.attn.to_q.1._extra_state",
    ],
)
def test_buffers_and_training_leftovers_are_ignored(prefix, key):
    assert official.is_ignored(prefix + key)


@pytest.mark.parametrize(
    "key", ["net.blocks.block0.logvar.weight", "net.pos_embedder.seq2", "conditioner.a"]
)
def test_what_only_looks_like_a_leftover_is_not_ignored(key):
    assert not official.is_ignored(key)


def test_an_unknown_key_is_named_with_the_closest_official_one():
    key = "net.blocks.block3.blocks.2.block.layer.weight"
    close = "blocks.block3.blocks.2.block.layer2.weight"
    message = re.escape(f"unknown key '{key}'; closest is '{close}'")
    with pytest.raises(WeightsError, match=f"^{message}$"):
        official.parts([key])


def test_many_unknown_keys_are_counted_not_listed():
    with pytest.raises(WeightsError, match=r"'zz\.4'; and 3 more$"):
        official.parts([f"zz.{n}" for n in range(8)])


def test_a_multi_view_key_is_called_so():
    with pytest.raises(
        WeightsError, match=r"'net\.view_embeddings\.weight'.*multi-view"
    ):
        official.parts(["net.view_embeddings.weight"])


def test_a_file_without_any_weights_is_refused():
    with pytest.raises(WeightsError, match="no key of a Cosmos-Transfer1 network"):
        official.parts(["logvar.1.weight"])


def test_the_same_tensor_twice_is_refused():
    keys = ["net.affline_norm.weight", "affline_norm.weight"]
    with pytest.raises(WeightsError, match="are the same tensor"):
        official.parts(keys)


def test_two_bases_in_one_file_are_refused():
    keys = ["net.affline_norm.weight", "base_model.net.affline_norm.weight"]
    with pytest.raises(WeightsError, match=r"two networks of one kind \(dit\)"):
        official.parts(keys)


def test_a_distilled_file_has_its_base_first():
    keys = [
        "net.net_ctrl.zero_blocks.block0.bias",
        "net.base_model.net.affline_norm.weight",
    ]
    assert [part.kind for part in official.parts(keys)] == ["dit", "branch"]


def test_averaged_weights_win_and_regain_their_dots():
    wrapped = {"model": {"net.a": 1}, "ema": {"net-a": 2}}
    assert official.unwrap(wrapped) == {"net.a": 2}


@pytest.mark.parametrize("empty", [None, {}])
def test_without_averaged_weights_the_model_is_taken(empty):
    wrapped = {"model": {"net.a": 1}, "ema": empty, "iteration": 7}
    assert official.unwrap(wrapped) == {"net.a": 1}


def test_a_list_is_no_checkpoint():
    with pytest.raises(
        WeightsError, match="it holds a list; expected a dict of tensors"
    ):
        official.unwrap([1])
