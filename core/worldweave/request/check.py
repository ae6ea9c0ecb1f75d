"""Look at a request before anything is read, and name all that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from worldweave.base import Frames
from worldweave.request.sources import MapValue
from worldweave.request.spec import Control, Request, value_problems
from worldweave_registry import (
    Base,
    Catalog,
    Modality,
    Problems,
    Weights,
    WeightsError,
    WorldweaveError,
    did_you_mean,
    resolve,
)

Preprocessor = Callable[[Frames], Frames]


@attrs.frozen(kw_only=True)
class Prepared:
    """One modality of a request that may run."""

    modality: Modality
    control: Control
    preprocessor: Preprocessor | None

    @property
    def map(self) -> MapValue:
        """What its map is made from: the request's, or the modality's default."""
        asked = self.control.map
        return self.modality.default_map if asked is None else asked


def examine(
    request: Request, catalog: Catalog
) -> tuple[Base | None, dict[str, Prepared], list[str]]:
    """Return the base, the modalities that may run, and every problem found.

    A modality whose map is the number 0 is left out: it will neither be loaded
    nor run. Nothing heavy is loaded, no video is read.
    """
    problems = value_problems(request)
    # Nothing can be drawn from a seed that is itself a problem.
    draws = request.compat is not None and not problems
    base = None
    try:
        base = catalog.find_base(request.base)
    except WorldweaveError as error:
        problems.append(str(error))
    if base is not None:
        if base.check_prompt is not None:
            check = base.check_prompt.load()
            problems += check(request.prompt) + check(request.negative_prompt)
        problems += _overlap_problems(request.overlap, base)
    prepared = {}
    for name, control in request.controls.items():
        try:
            modality = catalog.find(name)
        except WorldweaveError as error:
            problems.append(str(error))
            continue
        preprocessor = None
        try:
            preprocessor = make_preprocessor(
                name,
                modality,
                control.options,
                released_seed=request.seed if draws else None,
            )
        except Problems as error:
            problems += error.problems
        except WorldweaveError as error:
            problems.append(str(error))
        each = Prepared(modality=modality, control=control, preprocessor=preprocessor)
        if isinstance(each.map, (int, float)) and each.map == 0:
            continue
        problems += _control_problems(name, modality, control, request)
        prepared[name] = each
    return base, prepared, problems


def raise_all(problems: list[str]) -> None:
    """Raise Problems if there are any."""
    if problems:
        raise Problems(list(dict.fromkeys(problems)))


def make_preprocessor(
    name: str,
    modality: Modality,
    options: Mapping[str, Any],
    *,
    released_seed: int | None = None,
) -> Preprocessor | None:
    """Build the preprocessor of *modality* with *options*.

    With *released_seed* and no options, a class that has `released` draws its own
    settings from that seed, as the released code does.
    Raise Problems for an option it does not have or a value it refuses.
    """
    if modality.preprocessor is None:
        if options:
            raise Problems(
                [
                    f"{name!r} has no preprocessor, so no option "
                    f"{next(iter(options))!r}; leave it out"
                ]
            )
        return None
    kind = modality.preprocessor.load()
    known = option_names(kind)
    wrong = [
        f"{name!r} has no option {option!r}"
        + (did_you_mean(option, known) or f"; it has: {', '.join(known) or 'none'}")
        for option in options
        if option not in known
    ]
    if wrong:
        raise Problems(wrong)
    if released_seed is not None and not options and hasattr(kind, "released"):
        drawn: Preprocessor = kind.released(released_seed)
        return drawn
    try:
        made: Preprocessor = kind(**options)
    except (TypeError, ValueError, WorldweaveError) as error:
        message = error.args[0] if error.args else error
        raise Problems([f"option of {name!r}: {message}"]) from error
    return made


def option_names(kind: type) -> list[str]:
    """Return the options of a class of preprocessors: its attrs fields."""
    return [f.name for f in attrs.fields(kind) if f.init] if attrs.has(kind) else []


def _overlap_problems(overlap: int, base: Base) -> list[str]:
    if 0 <= overlap < base.chunk_frames:
        return []
    return [
        f"overlap is {overlap}; base {base.name!r} makes {base.chunk_frames} frames at "
        f"once, so give 0 to {base.chunk_frames - 1}"
    ]


def _control_problems(
    name: str, modality: Modality, control: Control, request: Request
) -> list[str]:
    """Return what keeps the control of *name* from being had."""
    if control.video is not None:
        if not control.options:
            return []
        return [
            f"{name!r} has a ready control video, so its option "
            f"{next(iter(control.options))!r} changes nothing; leave one of them out"
        ]
    if modality.preprocessor is None:
        return [
            f"{name!r} cannot be made from a video; give its control video, "
            f"for example: --control-video {name}={name}.mp4"
        ]
    if request.video is None and any(c.video is not None for c in _all(request)):
        return [
            f"{name!r} has no control video and there is no source to make one "
            "from; give one of them"
        ]
    return []


def _all(request: Request) -> list[Control]:
    return list(request.controls.values())


def weights_problems(name: str, prepared: Prepared, base: Base) -> list[str]:
    """Return why there is no branch to load for modality *name*, if so."""
    chosen = prepared.control.weights
    if chosen is not None:
        if Path(chosen).is_file():
            return []
        return [f"weights of {name!r}: there is no file {chosen}; check the path"]
    try:
        branch_weights(prepared.modality, base.name)
    except WeightsError as error:
        return [str(error)]
    return []


def base_problems(name: str, catalog: Catalog) -> list[str]:
    """Return which files of the base called *name* are missing or damaged."""
    try:
        base = catalog.find_base(name)
    except WorldweaveError:
        return []  # `examine` says so
    found = []
    for weights in base.weights:
        try:
            resolve(weights, catalog.hook)
        except WeightsError as error:
            found.append(str(error))
    return found


def branch_weights(modality: Modality, base: str) -> Weights:
    """Return the weights of *modality* trained against the base called *base*."""
    for weights in modality.weights:
        if weights.base == base and weights.part == "branch":
            return weights
    known = ", ".join(sorted({w.base for w in modality.weights})) or "none"
    raise WeightsError(
        f"{modality.name!r} has no weights for base {base!r} (it has: {known}); "
        f"train some with: worldweave train {modality.name} --base {base}"
    )
