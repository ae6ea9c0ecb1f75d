"""Find plugins, describe what they supply, name what is missing. Never torch."""

from worldweave_registry.base import Base
from worldweave_registry.calls import Hooks
from worldweave_registry.catalog import Catalog, Plugin, State
from worldweave_registry.discovery import discover
from worldweave_registry.errors import (
    AmbiguousBaseError,
    AmbiguousModalityError,
    DescriptionError,
    LicenseError,
    PluginError,
    Problems,
    UnavailableBaseError,
    UnavailableModalityError,
    UnknownBaseError,
    UnknownModalityError,
    WeightsError,
    WorldweaveError,
    let_interrupts_pass,
)
from worldweave_registry.fetch import is_local, locate, resolve
from worldweave_registry.hooks import API, GROUP, hookimpl, hookspec
from worldweave_registry.modality import (
    Lazy,
    Modality,
    Model,
    Recipe,
    Weights,
    lazy,
)
from worldweave_registry.wording import did_you_mean, one_line

__all__ = [
    "API",
    "GROUP",
    "AmbiguousBaseError",
    "AmbiguousModalityError",
    "Base",
    "Catalog",
    "DescriptionError",
    "Hooks",
    "Lazy",
    "LicenseError",
    "Modality",
    "Model",
    "Plugin",
    "PluginError",
    "Problems",
    "Recipe",
    "State",
    "UnavailableBaseError",
    "UnavailableModalityError",
    "UnknownBaseError",
    "UnknownModalityError",
    "Weights",
    "WeightsError",
    "WorldweaveError",
    "did_you_mean",
    "discover",
    "hookimpl",
    "hookspec",
    "is_local",
    "lazy",
    "let_interrupts_pass",
    "locate",
    "one_line",
    "resolve",
]
