"""The rows of the tables: which modality controls what, and where."""

# T frames, H W rows and columns

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt

NONE = "no control"
ALL = "all"


@attrs.frozen(kw_only=True)
class Share:
    """The map of one modality: its value in the foreground and in the background."""

    foreground: float
    background: float

    def map(
        self, mask: npt.NDArray[np.float32] | None
    ) -> float | npt.NDArray[np.float32]:
        """Return the map for a foreground *mask* (T, H, W) in 0..1; a number where
        both values are one."""
        if self.foreground == self.background:
            return self.foreground
        if mask is None:
            raise ValueError(
                f"the map is {self.foreground} in front and {self.background} behind, "
                "but there is no mask; give the foreground of the clip"
            )
        back = np.float32(self.background)
        return back + mask * np.float32(self.foreground - self.background)


EVERYWHERE = Share(foreground=1.0, background=1.0)


@attrs.frozen(kw_only=True)
class Row:
    """One way to control every clip.

    shares: of each modality that takes part. is_wrong: the controls are those of
    another clip.
    """

    name: str
    shares: Mapping[str, Share] = attrs.field(factory=dict)
    is_wrong: bool = False

    @property
    def needs_mask(self) -> bool:
        """Whether foreground and background differ."""
        return any(s.foreground != s.background for s in self.shares.values())


def single(name: str) -> Row:
    """Return *name* alone, everywhere."""
    return Row(name=name, shares={name: EVERYWHERE})


def wrong(name: str) -> Row:
    """Return *name* alone with the control of another clip."""
    return Row(name=f"{name}, wrong", shares={name: EVERYWHERE}, is_wrong=True)


def together(names: Sequence[str]) -> Row:
    """Return all of *names*; they share one, as maps that sum to more do."""
    return Row(name=ALL, shares=dict.fromkeys(names, EVERYWHERE))


def without(name: str, names: Sequence[str]) -> Row:
    """Return all of *names* but one."""
    left = [n for n in names if n != name]
    return Row(name=f"all but {name}", shares=dict.fromkeys(left, EVERYWHERE))


def split(inside: Sequence[str], outside: Sequence[str]) -> Row:
    """Return *inside* sharing the foreground, *outside* the background."""
    shares = {n: Share(foreground=1 / len(inside), background=0.0) for n in inside}
    shares |= {n: Share(foreground=0.0, background=1 / len(outside)) for n in outside}
    name = f"{' + '.join(inside)} in front, {' + '.join(outside)} behind"
    return Row(name=name, shares=shares)
