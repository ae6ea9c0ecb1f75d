"""Use the old plugins in every way, and print what came of it as JSON."""

import inspect
import json

import numpy as np
import torch

import worldweave_registry
from worldweave.loading import config_of, new_branch
from worldweave.request.check import branch_weights, make_preprocessor
from worldweave.testing import inputs
from worldweave_registry import discover, hooks


def use():
    catalog = discover({"WORLDWEAVE_PLUGINS": "old-frost,old-pond"})
    states = {p.id: p.problem or p.state.value for p in catalog.plugins}
    modality, base = catalog.find("frost"), catalog.find_base("pond")
    control = make_preprocessor("frost", modality, {})(np.zeros((2, 4, 4, 3), np.uint8))
    branch = new_branch(modality, config_of(base))
    given = inputs(branch.config)
    residuals = branch(given.latent, given.step, given.hint)
    hook = catalog.hook
    video = np.zeros((1, 2, 2, 3), np.uint8)
    return {
        "states": states,
        "control": control.mean().item(),
        "metric": modality.metric.load()()(control, control),
        "recipe": modality.recipe.load().steps,
        "weights": branch_weights(modality, "pond").uri,
        "blocks": len(residuals),
        "is fresh": not any(torch.any(each).item() for each in residuals),
        "fetch": str(hook.worldweave_fetch(uri="frost://branch")),
        "map": hook.worldweave_map(prompt="some frost", video=video),
        "objects": hook.worldweave_objects(prompt="some frost", video=video),
        "foreground": hook.worldweave_foreground(
            classifier="frost", video=video, masks={}
        ),
        "models": [model.name for model in hook.worldweave_models(task="map")],
    }


def framework():
    """Return what of the framework is newer than the plugins."""
    return {
        "fetch": list(inspect.signature(hooks.worldweave_fetch).parameters),
        "sounds": hasattr(hooks, "worldweave_sounds"),
        "modality": hasattr(worldweave_registry.Modality, "sound"),
        "weights": hasattr(worldweave_registry.Weights, "sound"),
    }


print(json.dumps({"used": use(), "framework": framework()}))
