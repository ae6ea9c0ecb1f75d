"""What users and plugin authors import; every name is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldweave import maps
    from worldweave.base import Autoencoder, Clip, TextEncoder
    from worldweave.generate.generation import Generation
    from worldweave.generate.load import load
    from worldweave.generate.pipeline import Pipeline
    from worldweave.model.branch import ControlBranch, CosmosBranch
    from worldweave.model.config import DiTConfig
    from worldweave.model.dit import DiT
    from worldweave.model.fusion import fuse, normalize
    from worldweave.model.step import Step
    from worldweave.request.spec import Control, Request
    from worldweave_registry import (
        Base,
        Lazy,
        LicenseError,
        Modality,
        Model,
        PluginError,
        Problems,
        Recipe,
        Weights,
        WeightsError,
        WorldweaveError,
        discover,
        hookimpl,
    )

__all__ = [
    "Autoencoder",
    "Base",
    "Clip",
    "Control",
    "ControlBranch",
    "CosmosBranch",
    "DiT",
    "DiTConfig",
    "Generation",
    "Lazy",
    "LicenseError",
    "Modality",
    "Model",
    "Pipeline",
    "PluginError",
    "Problems",
    "Recipe",
    "Request",
    "Step",
    "TextEncoder",
    "Weights",
    "WeightsError",
    "WorldweaveError",
    "discover",
    "fuse",
    "hookimpl",
    "load",
    "maps",
    "normalize",
]

_HOME = {
    "Autoencoder": "worldweave.base",
    "Clip": "worldweave.base",
    "Control": "worldweave.request.spec",
    "ControlBranch": "worldweave.model.branch",
    "CosmosBranch": "worldweave.model.branch",
    "DiT": "worldweave.model.dit",
    "DiTConfig": "worldweave.model.config",
    "Generation": "worldweave.generate.generation",
    "Pipeline": "worldweave.generate.pipeline",
    "Request": "worldweave.request.spec",
    "Step": "worldweave.model.step",
    "TextEncoder": "worldweave.base",
    "fuse": "worldweave.model.fusion",
    "load": "worldweave.generate.load",
    "normalize": "worldweave.model.fusion",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name == "maps":
        return import_module("worldweave.maps")
    if name not in __all__:
        raise AttributeError(f"module 'worldweave' has no attribute {name!r}")
    value = getattr(import_module(_HOME.get(name, "worldweave_registry")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
