"""Load a pipeline: a base and exactly the branches that are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from worldweave.generate.pipeline import Pipeline
from worldweave.loading import Placement, load_base, usable_device
from worldweave.request.check import branch_weights, license_problems, raise_all
from worldweave.request.plan import Plan
from worldweave_registry import Catalog, discover


def load(
    base: str = "tiny-world",
    *,
    modalities: Iterable[str] = (),
    weights: Mapping[str, str | Path] | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    compat: str | None = None,
    catalog: Catalog | None = None,
    licenses: Iterable[str] | None = None,
    text_encoder: bool = True,
) -> Pipeline:
    """Load *base* and the branches of *modalities*; nothing else is read from disk.

    weights: per modality a branch checkpoint other than the plugin's own. device:
    "cuda" where there is one. dtype: bfloat16 on a GPU, float32 elsewhere. compat:
    "cosmos-transfer1" computes rotary positions as the released code does. licenses:
    SPDX ids or addresses; plugins, weights and models under any other are refused, now
    and later on. text_encoder: False where prompts are encoded elsewhere. Raise
    WorldweaveError for unknown names, and naming everything that its licence forbids,
    before anything is read.
    """
    catalog = discover() if catalog is None else catalog
    if licenses is not None:
        catalog = catalog.allowing(licenses)
    if isinstance(modalities, str):
        raise_all([f"modalities is {modalities!r}; give a list: [{modalities!r}]"])
    names, weights = list(modalities), weights or {}
    raise_all(license_problems(base, names, catalog, own=weights))
    description = catalog.find_base(base)
    for name in names:
        modality = catalog.find(name)
        if name not in weights:
            branch_weights(modality, description.name)
    raise_all(
        [
            f"weights are given for {name!r}, which is not among the modalities; "
            "add it to them or leave its weights out"
            for name in weights
            if name not in names
        ]
    )
    place = usable_device(device)
    if dtype is None:
        dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    loaded = load_base(
        description,
        Placement(device=place, dtype=dtype),
        hook=catalog.hook,
        compat=compat,
        text_encoder=text_encoder,
    )
    pipeline = Pipeline(loaded, catalog)
    for name in names:
        pipeline.enable(name, weights=weights.get(name))
    return pipeline


def load_for(
    plan: Plan,
    catalog: Catalog,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    text_encoder: bool = True,
) -> Pipeline:
    """Load exactly what *plan* needs; text_encoder: as in `load`."""
    chosen = {name: each.control.weights for name, each in plan.prepared.items()}
    return load(
        plan.request.base,
        modalities=plan.prepared,
        weights={name: file for name, file in chosen.items() if file is not None},
        device=device,
        dtype=dtype,
        compat=plan.request.compat,
        catalog=catalog,
        text_encoder=text_encoder,
    )
