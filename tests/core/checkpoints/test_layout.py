"""Shapes decide the sizes, and the sizes decide the shapes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave.checkpoints import layout
from worldweave.model.branch import CosmosBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave_registry.errors import WeightsError

TINY = DiTConfig(
    latent_channels=4,
    hidden=24,
    heads=2,
    blocks=2,
    text_channels=5,
    adaln_rank=3,
    mlp_ratio=2,
    hint_channels=6,
    hint_widths=(7, 8),
    control_blocks=1,
    max_size=(5, 6, 8),
)
AV = DiTConfig(condition_mask=False, hint_channels=16)


@st.composite
def configs(draw):
    def size(high):
        return draw(st.integers(1, high))

    heads = size(3)
    return DiTConfig(
        latent_channels=size(5),
        hidden=heads * 2 * size(4),
        heads=heads,
        blocks=size(12),
        text_channels=size(9),
        adaln_rank=size(9),
        mlp_ratio=size(4),
        condition_mask=draw(st.booleans()),
        hint_channels=size(9),
        hint_widths=tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))),
        control_blocks=size(12),
        max_size=(size(9), 2 * size(9), 2 * size(9)),
    )


@settings(deadline=None)
@given(config=configs(), kind=st.sampled_from(["dit", "branch"]))
def test_sizes_are_inferred_from_the_shapes_they_make(config, kind):
    shapes = layout.expected_shapes(kind, config)
    found = layout.infer_config(shapes)
    assert {name: getattr(config, name) for name in found} == found
    assert layout.expected_shapes(kind, layout.complete(found)) == shapes


@settings(max_examples=20, deadline=None)
@given(config=configs())
def test_the_table_is_what_the_networks_have(config):
    with torch.device("meta"):
        networks = {"dit": DiT(config), "branch": CosmosBranch(config)}
    for kind, network in networks.items():
        shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
        assert layout.expected_shapes(kind, config) == shapes


@pytest.mark.parametrize(
    ("kind", "config", "count"),
    [
        ("dit", DiTConfig(), 7_236_208_640),
        ("branch", DiTConfig(), 893_497_120),
        ("dit", AV, 7_236_192_256),
        ("branch", AV, 891_645_728),
    ],
)
def test_released_networks_have_their_published_size(kind, config, count):
    shapes = layout.expected_shapes(kind, config).values()
    assert sum(math.prod(shape) for shape in shapes) == count


def test_a_dit_does_not_reveal_the_sizes_of_its_branches():
    found = layout.infer_config(layout.expected_shapes("dit", TINY))
    assert not {"hint_channels", "hint_widths", "control_blocks"} & found.keys()
    assert "blocks" in found


def test_another_patch_is_taken_into_account():
    config = DiTConfig(hidden=24, heads=2, patch=(1, 1, 1), max_size=(5, 6, 7))
    found = layout.infer_config(layout.expected_shapes("dit", config), patch=(1, 1, 1))
    assert found["latent_channels"] == 16
    assert found["max_size"] == (5, 6, 7)


def changed(kind="dit", **shapes):
    """Shapes of TINY with some replaced; `__` stands for a dot, None removes."""
    table = layout.expected_shapes(kind, TINY)
    for name, shape in shapes.items():
        table[name.replace("__", ".")] = shape
    return {name: shape for name, shape in table.items() if shape is not None}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"positions__t": None}, r"positions\.t is missing"),
        ({"positions__t": (3,)}, r"positions\.t is \(3,\); expected 2 axes"),
        (
            {"blocks__0__self_attention__q__weight": (3, 24)},
            "has 3 rows for a hidden size of 24: one rank of a tensor-parallel",
        ),
        ({"patch_embed__weight": (24, 48)}, "takes 12 channels; .*multi-view"),
        ({"patch_embed__weight": (24, 25)}, "expected a multiple of 4"),
        ({"blocks__0__mlp__up__weight": (25, 24)}, "expected a multiple of 24"),
        (
            {"blocks__0__self_attention__q_norm__weight": (5,)},
            "has 5 channels, which do not divide the hidden size 24",
        ),
    ],
)
def test_shapes_that_contradict_each_other_are_refused(shapes, message):
    with pytest.raises(WeightsError, match=message):
        layout.infer_config(changed(**shapes))


def test_a_branch_without_its_hint_network_is_refused():
    shapes = changed("branch", hint_embed__weight=None)
    with pytest.raises(WeightsError, match=r"hint_embed\.weight is missing"):
        layout.infer_config(shapes)


def test_sizes_no_network_can_have_are_refused():
    with pytest.raises(WeightsError, match=r"impossible sizes: .*heads is 5"):
        layout.complete({"hidden": 24, "heads": 5})


def test_every_kind_of_misfit_is_told():
    found = {"a": (1,), "b": (2,), "extra": (3,)}
    wanted = {"a": (1,), "b": (4,), "gone": (5,)}
    assert layout.misfits(found, wanted) == [
        "gone is missing",
        "extra is unexpected",
        "b is (2,), expected (4,)",
    ]


def test_foreign_shapes_have_no_known_cause():
    assert layout.causes({"a": (1,)}, layout.expected_shapes("dit", TINY)) == []
    assert layout.causes(layout.expected_shapes("dit", TINY), {"a": (1,)}) == []


@pytest.mark.parametrize(
    ("problems", "line"),
    [
        ("a", "a"),
        ("abcde", "a; b; c; d; e"),
        ("abcdefg", "a; b; c; d; e; and 2 more"),
    ],
)
def test_five_problems_are_shown_and_the_rest_counted(problems, line):
    assert layout.shorten(problems) == line
