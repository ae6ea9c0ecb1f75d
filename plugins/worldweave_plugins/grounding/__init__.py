"""Maps from text: Grounding DINO finds the thing, SAM 2 follows it, a VLM weighs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import worldweave

if TYPE_CHECKING:
    from worldweave_registry import Model

__all__ = [
    "worldweave_foreground",
    "worldweave_map",
    "worldweave_models",
    "worldweave_objects",
]

CLASSIFIER = "vlm"


# Last, so that a plugin that knows its own scenes is asked before the large models.
@worldweave.hookimpl(trylast=True)
def worldweave_map(prompt: str, video: Any) -> Any:
    """Return 1 where *prompt* is seen and 0 elsewhere, float32 (T, H, W)."""
    return _home("masks").text_map(prompt, video)


@worldweave.hookimpl(trylast=True)
def worldweave_objects(prompt: str, video: Any) -> Mapping[str, Any] | None:
    """Return a bool mask (T, H, W) for each instance of each phrase of *prompt*."""
    masks: Mapping[str, Any] = _home("masks").objects(prompt, video)
    return masks


@worldweave.hookimpl(trylast=True)
def worldweave_foreground(
    classifier: str, video: Any, masks: Mapping[str, Any]
) -> Mapping[str, bool] | None:
    """Ask a vision-language model about each object if *classifier* is "vlm"."""
    if classifier != CLASSIFIER:
        return None
    told: Mapping[str, bool] = _home("judge").foreground(video, masks)
    return told


@worldweave.hookimpl(trylast=True)
def worldweave_models(task: str) -> Iterable[Model] | None:
    """Tell where the models for *task* lie, without importing what runs them."""
    places = _home("places")
    sources = {
        "map": (places.DETECTOR, places.TRACKER),
        "objects": (places.DETECTOR, places.TRACKER),
        f"foreground:{CLASSIFIER}": (places.JUDGE,),
    }
    if task not in sources:
        return None
    settings = _home("settings").Settings.from_environment()
    found: Iterable[Model] = places.models(settings, *sources[task])
    return found


def _home(module: str) -> Any:
    """Import a part of this plugin when it is first needed: most bring torch."""
    return import_module(f"{__name__}.{module}")
