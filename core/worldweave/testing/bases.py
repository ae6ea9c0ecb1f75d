"""The base that a modality is tried on, read from disk once for all modalities."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import torch

from worldweave.loading import LoadedBase, Placement, load_base
from worldweave.testing.subject import NotApplicable, Subject
from worldweave_registry import Base, let_interrupts_pass, one_line


@attrs.frozen
class _Wanted:
    """A base and whom to ask for its files; two are equal when their bases are."""

    base: Base
    hook: Any = attrs.field(eq=False)


def loaded_base(subject: Subject) -> LoadedBase:
    """Return the base of *subject* in float32 on the CPU, the same for every subject.

    NotApplicable where it is not installed or cannot be loaded, whatever the reason:
    that is not the modality's fault.
    """
    base = subject.base
    try:
        return _load(_Wanted(base, subject.catalog.hook))
    except BaseException as error:
        let_interrupts_pass(error)
        raise NotApplicable(
            f"base {base.name!r} cannot be loaded: {one_line(error)}"
        ) from error


@functools.cache
def _load(wanted: _Wanted) -> LoadedBase:
    place = Placement(device=torch.device("cpu"), dtype=torch.float32)
    return load_base(wanted.base, place, hook=wanted.hook)


def forget() -> None:
    """Read it anew next time: a modality has harmed it."""
    _load.cache_clear()
