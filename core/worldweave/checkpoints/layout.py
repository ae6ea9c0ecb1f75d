"""Which tensors a DiT and a Cosmos branch hold, and what their shapes reveal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import attrs

from worldweave.model.config import DiTConfig
from worldweave_registry.errors import WeightsError

Kind = Literal["dit", "branch"]
Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Patch = tuple[int, int, int]

#: Patch of every released base (T, H, W). Shapes do not reveal it.
COSMOS_PATCH: Patch = (1, 2, 2)
_BRANCH_ONLY = ("hint_embed.", "hint_mlp.", "zero.")
_REVEALING = (
    "patch_embed.weight",
    "positions.t",
    "positions.h",
    "positions.w",
    "head.linear.weight",
    "blocks.0.self_attention.q.weight",
    "blocks.0.self_attention.q_norm.weight",
    "blocks.0.cross_attention.k.weight",
    "blocks.0.mlp.up.weight",
    "blocks.0.modulation.0.down.weight",
)
_SHOWN = 5


def kind_of(names: Iterable[str]) -> Kind:
    """Tell a branch from a DiT by our names."""
    return "branch" if any(n.startswith(_BRANCH_ONLY) for n in names) else "dit"


def revealing(kind: Kind) -> tuple[str, ...]:
    """Return the names without which `infer_config` can say nothing."""
    if kind == "dit":
        return _REVEALING
    return (*_REVEALING, "hint_embed.weight", "hint_mlp.0.weight")


def infer_config(shapes: Shapes, patch: Patch = COSMOS_PATCH) -> dict[str, Any]:
    """Return the fields of a DiTConfig that the shapes of a network decide.

    A DiT decides `blocks`, a branch `control_blocks` and what concerns hints;
    nothing decides rotary ratios. *patch* is (T, H, W). Raise WeightsError where
    a tensor is missing or sizes contradict each other.
    """
    kind = kind_of(shapes)
    missing = [name for name in revealing(kind) if name not in shapes]
    if missing:
        raise WeightsError(shorten([f"{name} is missing" for name in missing]))
    hint_layers = [f"hint_mlp.{n}.weight" for n in _numbers(shapes, "hint_mlp")]
    for name in (*revealing(kind), *hint_layers):
        ndim = 1 if name.endswith("_norm.weight") else 2
        if len(shapes[name]) != ndim:
            raise WeightsError(f"{name} is {shapes[name]}; expected {ndim} axes")
    hidden = shapes["patch_embed.weight"][0]
    rows = shapes["blocks.0.self_attention.q.weight"][0]
    if rows != hidden:
        raise WeightsError(
            f"blocks.0.self_attention.q.weight has {rows} rows for a hidden size of "
            f"{hidden}: one rank of a tensor-parallel checkpoint? Merge the ranks first"
        )
    size = math.prod(patch)
    latent = _divide(shapes, "head.linear.weight", 0, size)
    config: dict[str, Any] = {
        "latent_channels": latent,
        "hidden": hidden,
        "heads": _heads(shapes, hidden),
        "text_channels": shapes["blocks.0.cross_attention.k.weight"][1],
        "adaln_rank": shapes["blocks.0.modulation.0.down.weight"][0],
        "mlp_ratio": _divide(shapes, "blocks.0.mlp.up.weight", 0, hidden),
        "patch": patch,
        "condition_mask": _has_condition_mask(shapes, latent, size),
        "max_size": (
            shapes["positions.t"][0],
            shapes["positions.h"][0] * patch[1],
            shapes["positions.w"][0] * patch[2],
        ),
    }
    blocks = 1 + max(_numbers(shapes, "blocks"))
    if kind == "dit":
        return {**config, "blocks": blocks}
    hint_channels = _divide(shapes, "hint_embed.weight", 1, size) - 1
    return {
        **config,
        "control_blocks": blocks,
        "hint_channels": hint_channels,
        "hint_widths": tuple(shapes[name][0] for name in hint_layers[:-1]),
    }


def expected_shapes(kind: Kind, config: DiTConfig) -> dict[str, Shape]:
    """Return every tensor a network of this size has, by our names."""
    wide = config.hidden
    blocks = config.blocks if kind == "dit" else config.control_blocks
    frames, rows, columns = config.max_size
    shapes: dict[str, Shape] = {
        "patch_embed.weight": (wide, config.input_channels * config.patch_size),
        "positions.t": (frames, wide),
        "positions.h": (rows // config.patch[1], wide),
        "positions.w": (columns // config.patch[2], wide),
        "time.linear_1.weight": (wide, wide),
        "time.linear_2.weight": (3 * wide, wide),
        "time.norm.weight": (wide,),
        "head.linear.weight": (config.patch_size * config.latent_channels, wide),
        "head.modulation.down.weight": (config.adaln_rank, wide),
        "head.modulation.up.weight": (2 * wide, config.adaln_rank),
    }
    for index in range(blocks):
        for name, shape in _block_shapes(config).items():
            shapes[f"blocks.{index}.{name}"] = shape
    return shapes if kind == "dit" else shapes | _branch_shapes(config)


def misfits(found: Shapes, wanted: Shapes) -> list[str]:
    """Say of every key that is missing, unexpected or misshaped what is wrong."""
    problems = [f"{n} is missing" for n in wanted if n not in found]
    problems += [f"{n} is unexpected" for n in found if n not in wanted]
    problems += [
        f"{name} is {found[name]}, expected {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    return problems


def causes(found: Shapes, wanted: Shapes, patch: Patch = COSMOS_PATCH) -> list[str]:
    """Say why a file with shapes *found* does not fit a network with *wanted*.

    Empty where the shapes are not those of a DiT or Cosmos branch.
    """
    kind, wanted_kind = kind_of(found), kind_of(wanted)
    try:
        # The network first: if that is not one of ours, its kind means nothing.
        theirs = infer_config(wanted, patch)
        ours = infer_config(found, patch)
    except WeightsError:
        return []
    if kind != wanted_kind:
        called = {"dit": "a DiT", "branch": "a branch"}
        return [f"the file holds {called[kind]}, expected {called[wanted_kind]}"]
    reasons = []
    if ours["condition_mask"] != theirs["condition_mask"]:
        reasons.append(_about_masks(kind, found, wanted, ours["condition_mask"]))
    reasons += [
        f"{label} is {ours[field]} in the file, {theirs[field]} here"
        for field, label in _LABELS.items()
        if ours.get(field) != theirs.get(field)
    ]
    return reasons


def shorten(problems: Sequence[str], shown: int = _SHOWN) -> str:
    """Join problems to one line; beyond *shown*, only count them."""
    line = "; ".join(problems[:shown])
    rest = len(problems) - shown
    return f"{line}; and {rest} more" if rest > 0 else line


def complete(config: Mapping[str, Any]) -> DiTConfig:
    """Return the DiTConfig of an inferred one; the rest are Cosmos' defaults.

    Raise WeightsError where the sizes make no network.
    """
    try:
        return DiTConfig(**config)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"impossible sizes: {error}") from error


def in_field_order(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return *config* in the order of DiTConfig's fields, so files are repeatable."""
    return {f.name: config[f.name] for f in attrs.fields(DiTConfig) if f.name in config}


_LABELS = {
    "hidden": "hidden size",
    "heads": "number of heads",
    "blocks": "number of blocks",
    "control_blocks": "number of blocks of the branch",
    "latent_channels": "number of latent channels",
    "hint_channels": "number of hint channels",
    "hint_widths": "widths of the hint network",
    "text_channels": "text width",
    "adaln_rank": "rank of the modulation",
    "mlp_ratio": "MLP ratio",
    "max_size": "largest latent (T, H, W)",
}


def _about_masks(kind: Kind, found: Shapes, wanted: Shapes, has_mask: bool) -> str:
    name = {"dit": "DiT", "branch": "branch"}[kind]
    features = found["patch_embed.weight"][1], wanted["patch_embed.weight"][1]
    # Of the released bases only AV (Sample-AV) has none.
    mask = "with a condition mask" if has_mask else "without a condition mask (AV)"
    return (
        f"this {name} was trained for a base {mask}: {features[0]} input features, "
        f"this base has {features[1]}"
    )


def _block_shapes(config: DiTConfig) -> dict[str, Shape]:
    wide, rank = config.hidden, config.adaln_rank
    shapes: dict[str, Shape] = {
        "mlp.up.weight": (config.mlp_ratio * wide, wide),
        "mlp.down.weight": (wide, config.mlp_ratio * wide),
    }
    for name, context in (
        ("self_attention", wide),
        ("cross_attention", config.text_channels),
    ):
        shapes |= {
            f"{name}.q.weight": (wide, wide),
            f"{name}.k.weight": (wide, context),
            f"{name}.v.weight": (wide, context),
            f"{name}.out.weight": (wide, wide),
            f"{name}.q_norm.weight": (config.head_width,),
            f"{name}.k_norm.weight": (config.head_width,),
        }
    for sub in range(3):
        shapes[f"modulation.{sub}.down.weight"] = (rank, wide)
        shapes[f"modulation.{sub}.up.weight"] = (3 * wide, rank)
    return shapes


def _branch_shapes(config: DiTConfig) -> dict[str, Shape]:
    wide = config.hidden
    shapes: dict[str, Shape] = {
        "hint_embed.weight": (wide, (config.hint_channels + 1) * config.patch_size)
    }
    # Every second layer is an activation without weights.
    for layer, (narrow, wider) in enumerate(
        pairwise((wide, *config.hint_widths, wide))
    ):
        shapes[f"hint_mlp.{2 * layer}.weight"] = (wider, narrow)
        shapes[f"hint_mlp.{2 * layer}.bias"] = (wider,)
    for index in range(config.control_blocks):
        shapes[f"zero.{index}.weight"] = (wide, wide)
        shapes[f"zero.{index}.bias"] = (wide,)
    return shapes


def _numbers(shapes: Shapes, of: str) -> list[int]:
    pattern = re.compile(rf"^{of}\.(\d+)\..*weight$")
    return sorted({int(match[1]) for match in map(pattern.match, shapes) if match})


def _divide(shapes: Shapes, name: str, axis: int, by: int) -> int:
    length = shapes[name][axis]
    if by == 0 or length % by or length == 0:
        raise WeightsError(f"{name} is {shapes[name]}; expected a multiple of {by}")
    return length // by


def _heads(shapes: Shapes, hidden: int) -> int:
    name = "blocks.0.self_attention.q_norm.weight"
    (width,) = shapes[name]
    if width == 0 or hidden % width:
        raise WeightsError(
            f"{name} has {width} channels, which do not divide the hidden size {hidden}"
        )
    return hidden // width


def _has_condition_mask(shapes: Shapes, latent: int, patch_size: int) -> bool:
    channels = _divide(shapes, "patch_embed.weight", 1, patch_size)
    # One of the channels beyond the latent is always the padding mask.
    masks = channels - latent - 1
    if masks not in (0, 1):
        raise WeightsError(
            f"patch_embed.weight takes {channels} channels; expected {latent} latent "
            "channels, a padding mask and at most a condition mask (multi-view models "
            "take more, and worldweave does not run them)"
        )
    return masks == 1
