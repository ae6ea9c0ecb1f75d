"""Where the models lie and how sure they must be, from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from worldweave import Problems

VARIABLE: Final = "WORLDWEAVE_GROUNDING"


@attrs.frozen(kw_only=True)
class Settings:
    """What a user may set; docs/grounding.md lists the variables."""

    folder: Path | None = None
    """Holds grounding-dino/, sam2/ and vlm/; None: only the Hugging Face cache."""
    device: str = "auto"
    """A device of torch; "auto": the first GPU, or the CPU where there is none."""
    threshold: float = 0.15
    """A box counts if Grounding DINO gives it more than this."""
    fallback: float = 0.10
    """The threshold for a phrase that no looked-at frame shows at the first one."""
    looks: int = 8
    """The frames, evenly spaced, in which a phrase is sought until it is found."""
    instances: int = 16
    """The most instances of one phrase; those of the best score stay."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the WORLDWEAVE_GROUNDING variables; raise Problems for all at once."""
        given: dict[str, Any] = {}
        problems: list[str] = []
        for suffix, (field, read, expected) in _READERS.items():
            variable = VARIABLE + suffix
            if not (text := environ.get(variable, "").strip()):
                continue
            try:
                given[field] = read(text)
            except ValueError:
                problems.append(f"{variable} is {text!r}, expected {expected}")
        settings = cls(**given)
        if not problems and settings.fallback > settings.threshold:
            problems.append(
                f"{VARIABLE}_FALLBACK is {settings.fallback}, above the threshold "
                f"{settings.threshold}; give one that is at most as large"
            )
        if problems:
            raise Problems(problems)
        return settings


def _folder(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        raise ValueError(text)
    return path


def _score(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


_READERS: Final[dict[str, tuple[str, Callable[[str], Any], str]]] = {
    "": ("folder", _folder, "a folder that holds grounding-dino/, sam2/ and vlm/"),
    "_DEVICE": ("device", str, "a device such as cpu or cuda:0"),
    "_THRESHOLD": ("threshold", _score, "a number from 0 to 1"),
    "_FALLBACK": ("fallback", _score, "a number from 0 to 1"),
    "_LOOKS": ("looks", _count, "a whole number from 1"),
    "_INSTANCES": ("instances", _count, "a whole number from 1"),
}
