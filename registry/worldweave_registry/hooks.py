"""The hooks a plugin may implement.

Adding an argument to a hook is compatible: an implementation is given only the
arguments it names. Anything else raises `API`, and with it `GROUP`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from worldweave_registry.base import Base
    from worldweave_registry.modality import Modality, Model

#: Generation of the plugin interface. A plugin states its own in the name of
#: its entry-point group, so an old plugin is recognised without importing it.
API = 1
GROUP = f"worldweave.v{API}"

hookspec = pluggy.HookspecMarker("worldweave")
hookimpl = pluggy.HookimplMarker("worldweave")


@hookspec
def worldweave_modalities() -> Iterable[Modality]:  # type: ignore[empty-body]
    """Describe the modalities this plugin supplies.

    Called whenever plugins are listed, so it must be quick: name heavy things
    by import path, ``"my_package.module:Name"``, instead of importing them.
    """


@hookspec
def worldweave_bases() -> Iterable[Base]:  # type: ignore[empty-body]
    """Describe the bases this plugin supplies.

    Called whenever plugins are listed, so it must be quick.
    """


@hookspec(firstresult=True)
def worldweave_fetch(uri: str) -> Path | None:
    """Return a local file for *uri*, or None to let another plugin try.

    Called for every address that is not a path, ``file:`` or ``package:``.
    Implement it to serve weights from a store of your own. Before any
    download, say its size and licence.
    """


@hookspec(firstresult=True)
def worldweave_map(prompt: str, video: Any) -> Any:
    """Return a map that is high where *prompt* is seen, or None to pass.

    *video* is a uint8 array (T, H, W, 3); the map is a float array (T, H, W)
    from 0 to 1. Implement it to let users write "the robot" for a map. A map of
    zeros says that you looked and saw nothing.
    """


@hookspec(firstresult=True)
def worldweave_objects(prompt: str, video: Any) -> Mapping[str, Any] | None:
    """Return a mask per object that *prompt* names, or None to pass.

    *video* is a uint8 array (T, H, W, 3), *prompt* phrases such as "a car. a
    person."; the masks are bool arrays (T, H, W) by the name of the object.
    Implement it to let users weight salient objects without labels.
    """


@hookspec(firstresult=True)
def worldweave_foreground(
    classifier: str, video: Any, masks: Mapping[str, Any]
) -> Mapping[str, bool] | None:
    """Tell which objects are foreground, or return None to pass.

    *classifier* is the name users choose, for instance "vlm": answer to yours
    alone. *video* is a uint8 array (T, H, W, 3), *masks* are bool arrays
    (T, H, W) by the name of the object; the answer has the same keys.
    """


@hookspec(firstresult=True)
def worldweave_models(task: str) -> Iterable[Model] | None:
    """Describe the models that *task* will read, or return None to pass.

    *task* is "map" or "objects", for the hooks of those names, or
    "foreground:" and the name of a classifier. Called when a plan is made: be
    quick, download and load nothing. Implement it beside those hooks, so that
    what is missing is told before anything runs.
    """
