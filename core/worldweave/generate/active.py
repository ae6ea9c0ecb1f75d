"""Which branches are switched on, and that this changes between generations alone."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import attrs
import torch

from worldweave.model.branch import ControlBranch
from worldweave_registry import Modality, UnknownModalityError, WorldweaveError

logger = logging.getLogger("worldweave")


@attrs.frozen(kw_only=True, eq=False)
class Active:
    """A modality switched on: its description, its branch, where it came from."""

    modality: Modality
    branch: ControlBranch
    file: Path
    is_users_file: bool


class Switches:
    """The active branches by name, for threads to share."""

    def __init__(self, device: torch.device) -> None:
        self.active: dict[str, Active] = {}
        self._device = device
        self._busy = threading.RLock()
        #: The thread that generates, and what it has switched meanwhile.
        self._generating_in: int | None = None
        self._coming: dict[str, Active | None] = {}

    def on(self, name: str, active: Active) -> None:
        """Switch *name* on: now, or after the generation that runs."""
        self._switch(name, active, "enabled")

    def off(self, name: str) -> None:
        """Switch *name* off and free it: now, or after the generation that runs.

        Raise UnknownModalityError where it is not on.
        """
        self._refuse_unknown(name)
        self._switch(name, None, "disabled")

    @contextlib.contextmanager
    def generation(self) -> Iterator[None]:
        """Have the branches to oneself, from the plan to the last frame.

        What this thread switches meanwhile, in a callback, is switched at the end.
        """
        with self._busy:
            if self._generating_in is not None:
                yield
                return
            self._generating_in = threading.get_ident()
            try:
                yield
            finally:
                self._generating_in = None
                coming, self._coming = self._coming, {}
                for name, active in coming.items():
                    self._set(name, active)

    def refuse_twice(self, name: str, modality: Modality) -> None:
        """Raise WorldweaveError where *modality* is on under another name."""
        for other, active in self.active.items():
            if other != name and active.modality == modality:
                raise WorldweaveError(
                    f"{name!r} is enabled already, as {other!r}; use one name for it"
                )

    def _switch(self, name: str, active: Active | None, verb: str) -> None:
        if self._generating_in is not None:
            logger.warning(
                "a generation is running; %r is %s once it has ended", name, verb
            )
        if self._generating_in == threading.get_ident():
            self._coming[name] = active
            return
        with self._busy:
            if active is None:
                self._refuse_unknown(name)  # again: others have switched meanwhile
            self._set(name, active)

    def _set(self, name: str, active: Active | None) -> None:
        if active is not None:
            self.active[name] = active
            return
        gone = self.active.pop(name, None)
        left = None if gone is None else weakref.ref(gone.branch)
        del gone
        if left is not None and left() is not None:
            gc.collect()  # a plugin's module may hold itself in a circle
        # A GPU's memory is not free for others before the allocator lets go of it.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _refuse_unknown(self, name: str) -> None:
        if (self.active | self._coming).get(name) is None:
            enabled = ", ".join(self.active) or "none"
            raise UnknownModalityError(f"{name!r} is not enabled; enabled: {enabled}")
