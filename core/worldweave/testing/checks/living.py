"""Life in a pipeline: a branch comes late, goes again, and leaves nothing behind."""

from __future__ import annotations

import functools
import gc
import sys
import tempfile
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldweave.base import Frames
from worldweave.checkpoints import store
from worldweave.generate.pipeline import Pipeline
from worldweave.loading import LoadedBase
from worldweave.testing import bases, switches
from worldweave.testing.checks.branch import some
from worldweave.testing.checks.weights import weights_round_trip
from worldweave.testing.kit import check, fail
from worldweave.testing.subject import Subject, video


@check("disabled it leaves no memory and no bit behind", needs=(weights_round_trip,))
def disabling_leaves_nothing_behind(subject: Subject) -> None:
    """Generate without it, with it, and without it again; look for what remains.

    The control is given, so that this is about the branch alone.
    """
    base = bases.loaded_base(subject)
    pipeline = Pipeline(base, subject.catalog)
    with tempfile.TemporaryDirectory() as folder, switches.watched() as changed:
        file = _weights(subject, base, Path(folder), seed=0)
        before = _generate(pipeline, subject)
        held = _contents(base)
        known = {id(t): weakref.ref(t) for t in _alive()}
        already = set(changed())
        left = _live_and_die(pipeline, subject, file)
        after = _generate(pipeline, subject)
        _refuse_another_base(held, _contents(base))
        if switched := [name for name in changed() if name not in already]:
            fail(
                f"enabled, run and disabled it has changed {some(switched)}, which "
                "everybody shares",
                "set nothing global; draw from a torch.Generator of your own, and make "
                "tensors with the dtype and device they need",
            )
        _refuse_remains(subject, left, known)
        if not np.array_equal(before, after):
            fail(
                "after it was disabled the same request gives another video "
                f"({_share(before, after):.1%} of the values)",
                "replace nothing in worldweave or torch; do all in forward",
            )


def _live_and_die(pipeline: Pipeline, subject: Subject, file: Path) -> weakref.ref[Any]:
    """Enable, generate and disable; return a look at what should be gone."""
    name = _name(subject)
    pipeline.enable(name, weights=file)
    left = weakref.ref(pipeline.active[name].branch)
    _generate(pipeline, subject)
    pipeline.disable(name)
    return left


def _refuse_another_base(
    before: dict[str, tuple[int, Tensor]], after: dict[str, tuple[int, Tensor]]
) -> None:
    changed = [
        name
        for name, (place, values) in before.items()
        if after[name][0] != place or not torch.equal(after[name][1], values)
    ]
    if changed:
        bases.forget()
        fail(
            "enabled, run and disabled it has changed tensors of the base: "
            f"{some(changed)}",
            "leave the base alone: a branch returns residuals, and that is all",
        )


def _refuse_remains(
    subject: Subject, left: weakref.ref[Any], known: dict[int, weakref.ref[Tensor]]
) -> None:
    branch, new = left(), _new(known)
    if branch is not None or new:
        del branch, new
        gc.collect()  # what holds itself in a circle is no more than late
        branch, new = left(), _new(known)
    if branch is None and not new:
        return
    what = "the branch itself" if branch is not None else "what it has computed"
    size = sum(t.numel() * t.element_size() for t in new)
    targets = {id(each) for each in (branch, *new) if each is not None}
    places = sorted(_places(subject, targets))
    fail(
        f"after it was disabled {what} stayed in memory ({size:,} bytes"
        f"{', from ' + some(places) if places else ''})",
        "keep no branch and no tensor outside of the branch: no cache in the module or "
        "in the class, no functools.cache around what makes tensors",
    )


def _new(known: dict[int, weakref.ref[Tensor]]) -> list[Tensor]:
    return [t for t in _alive() if id(t) not in known or known[id(t)]() is not t]


def _alive() -> list[Tensor]:
    """Return every tensor that Python knows of."""
    kinds, waiting = {Tensor}, [Tensor]
    while waiting:
        more = set(type.__subclasses__(waiting.pop())) - kinds
        kinds |= more
        waiting += more
    # Not isinstance: that asks lazy objects of other libraries for their class.
    return [each for each in gc.get_objects() if type(each) in kinds]


def _places(subject: Subject, targets: set[int]) -> Iterator[str]:
    """Yield the variables of the plugin's module from which one can be reached."""
    kind = subject.modality.branch.load()
    module = sys.modules[kind.__module__]
    for name, value in list(vars(module).items()):
        if not name.startswith("__") and _reaches(value, targets):
            yield f"{module.__name__}.{name}"


def _reaches(value: object, targets: set[int], depth: int = 4) -> bool:
    if id(value) in targets:
        return True
    if depth == 0 or isinstance(value, (types.ModuleType, types.FunctionType)):
        return False
    return any(_reaches(each, targets, depth - 1) for each in gc.get_referents(value))


@check(
    "enabled later it is the same as enabled from the start",
    needs=(weights_round_trip,),
)
def enabling_later_is_the_same(subject: Subject) -> None:
    """Enable it on a pipeline at work, in place of other weights of its own."""
    base = bases.loaded_base(subject)
    with tempfile.TemporaryDirectory() as folder, switches.watched():
        file = _weights(subject, base, Path(folder), seed=0)
        other = _weights(subject, base, Path(folder), seed=1)
        fresh = Pipeline(base, subject.catalog)
        fresh.enable(_name(subject), weights=file)
        wanted = _generate(fresh, subject)
        del fresh  # and its branch, before another is made
        live = Pipeline(base, subject.catalog)
        live.enable(_name(subject), weights=other)
        _generate(live, subject)
        live.enable(_name(subject), weights=file)
        got = _generate(live, subject)
    if not np.array_equal(wanted, got):
        fail(
            "enabled in place of other weights it gives another video than enabled "
            f"from the start ({_share(wanted, got):.1%} of the values)",
            "share nothing between branches, such as a value in the class or in the "
            "module that was made from the weights of the first",
        )


def _name(subject: Subject) -> str:
    """Return the shortest name that means this modality and no other."""
    known = subject.catalog.modalities.items()
    return next(name for name, each in known if each is subject.modality)


def _weights(subject: Subject, base: LoadedBase, folder: Path, *, seed: int) -> Path:
    file = folder / f"{seed}.safetensors"
    branch = subject.opened_branch(base.config, seed=seed)
    store.write(file, branch.state_dict())
    return file


def _generate(pipeline: Pipeline, subject: Subject) -> Frames:
    """Make a video in one step, under full control of what is enabled."""
    source = _source(
        pipeline.base.description.chunk_frames, *pipeline.base.description.sizes[0]
    )
    made = pipeline.generate(
        "",
        video=source,
        controls=dict.fromkeys(pipeline.active, source),
        maps=dict.fromkeys(pipeline.active, 1.0),
        steps=1,
        guidance=0.0,
    )
    frames: Frames = made.frames
    return frames


@functools.cache
def _source(frames: int, height: int, width: int) -> Frames:
    return video(frames, height, width)


def _contents(base: LoadedBase) -> dict[str, tuple[int, Tensor]]:
    """Return where every tensor of *base* lies, and a copy of its values."""
    parts = {
        "dit": base.dit,
        "autoencoder": base.autoencoder,
        "text_encoder": base.text_encoder,
    }
    return {
        f"{part}.{name}": (tensor.data_ptr(), tensor.clone())
        for part, module in parts.items()
        if isinstance(module, nn.Module)
        for name, tensor in module.state_dict().items()
    }


def _share(before: Frames, after: Frames) -> float:
    return float((before != after).mean())


CHECKS = (disabling_leaves_nothing_behind, enabling_later_is_the_same)
