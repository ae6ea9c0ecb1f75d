"""The stages by number: what each is about, and where its parts are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gpu.record import Part
    from gpu.setting import Setting


class Stage(NamedTuple):
    """A stage of the plan, to be run by itself in less than ten minutes."""

    title: str
    #: Imported for this stage alone: what one lacks stops no other.
    module: str

    def parts(self, setting: Setting) -> list[Part]:
        """Return what is to be measured."""
        found: list[Part] = import_module(self.module).parts(setting)
        return found


STAGES = {
    1: Stage("Ceilings, and whether it is right", "gpu.correct"),
    2: Stage("weighted_add", "gpu.adding"),
    3: Stage("Attention", "gpu.attending"),
    4: Stage("Pointwise, and a whole block", "gpu.block"),
    5: Stage("Virtual ranks", "gpu.dividing"),
    6: Stage("Control branches", "gpu.control"),
}
