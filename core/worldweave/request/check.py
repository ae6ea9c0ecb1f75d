"""Look at a request before anything is read, and name all that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from worldweave.base import Frames
from worldweave.blame import blamed
from worldweave.loading import building
from worldweave.request.sources import OF_THE_BASE, Learned, MapValue
from worldweave.request.spec import Control, Request, value_problems
from worldweave_registry import (
    Base,
    Catalog,
    LicenseError,
    Modality,
    PluginError,
    Problems,
    Weights,
    WeightsError,
    WorldweaveError,
    did_you_mean,
    one_line,
    resolve,
)

Preprocessor = Callable[[Frames], Frames]
#: The parts of a base that a generation reads.
PARTS = ("dit", "autoencoder", "text_encoder")


@attrs.frozen(kw_only=True)
class Prepared:
    """One modality of a request that may run.

    refused: why the licence of its plugin's weights keeps them from being used, if so.
    """

    modality: Modality
    control: Control
    preprocessor: Preprocessor | None
    refused: tuple[str, ...] = ()

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
    problems += refused_weights_of_base(request.base, catalog, _parts(request))
    if base is not None:
        try:
            problems += prompt_problems(base, request.prompt, request.negative_prompt)
        except WorldweaveError as error:
            problems.append(str(error))
        problems += _overlap_problems(request.overlap, base)
    prepared = {}
    found: dict[str, Modality] = {}
    for name, control in request.controls.items():
        # What a user names has no licence that we know.
        is_own = control.weights is not None
        refused = [] if is_own else refused_weights(name, request.base, catalog)
        try:
            modality = catalog.find(name)
        except WorldweaveError as error:
            problems += [str(error), *refused]
            continue
        problems += _twice(name, modality, found)
        found[name] = modality
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
        each = Prepared(
            modality=modality,
            control=control,
            preprocessor=preprocessor,
            refused=tuple(refused),
        )
        if isinstance(each.map, (int, float)) and each.map == 0:
            continue
        problems += _control_problems(name, modality, control, request)
        prepared[name] = each
    return base, prepared, problems


def _parts(request: Request) -> tuple[str, ...]:
    """Return the parts of the base that *request* needs."""
    maps = (control.map for control in request.controls.values())
    are_learned = any(
        isinstance(each, Learned) and each.learned == OF_THE_BASE for each in maps
    )
    return (*PARTS, "maps") if are_learned else PARTS


def _twice(name: str, modality: Modality, found: Mapping[str, Modality]) -> list[str]:
    """Say where one modality is asked for under two names."""
    return [
        f"{other!r} and {name!r} are one modality; ask for it by one name"
        for other, each in found.items()
        if each == modality
    ]


def prompt_problems(base: Base, *prompts: str) -> list[str]:
    """Return what *base* says against *prompts*, nothing where it takes any.

    Raise WorldweaveError where its plugin fails at that.
    """
    if base.check_prompt is None:
        return []
    check = base.check_prompt.load()
    with blamed(f"the prompt check of base {base.name!r}", base.check_prompt.report):
        return [str(line) for prompt in prompts for line in check(prompt)]


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
    Raise Problems for every option it does not have and a value it refuses,
    PluginError where its class cannot be built for another reason.
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
    seed = None if options else released_seed
    rest = {option: value for option, value in options.items() if option in known}
    try:
        with building(f"the preprocessor of {name!r}", modality.preprocessor.report):
            made = _built(name, kind, rest, seed)
    except WorldweaveError as error:
        if not wrong:
            raise
        found = error.problems if isinstance(error, Problems) else [str(error)]
        raise Problems([*wrong, *found]) from error
    if wrong:
        raise Problems(wrong)
    if not callable(made):
        raise PluginError(
            f"{modality.preprocessor.path} made a {type(made).__name__}; a "
            "preprocessor must be callable with frames; "
            f"{modality.preprocessor.report}"
        )
    return made


def _built(
    name: str, kind: Any, options: Mapping[str, Any], seed: int | None
) -> Preprocessor:
    """Call the class; what it says of the options is the user's mistake."""
    if seed is not None and hasattr(kind, "released"):
        drawn: Preprocessor = kind.released(seed)
        return drawn
    try:
        made: Preprocessor = kind(**options)
    except (TypeError, ValueError, WorldweaveError) as error:
        message = one_line(error).removeprefix(f"{type(error).__name__}: ")
        raise Problems([f"option of {name!r}: {message}"]) from error
    return made


def option_names(kind: Any) -> list[str]:
    """Return the options of a class of preprocessors: its attrs fields."""
    if not isinstance(kind, type) or not attrs.has(kind):
        return []
    return [field.name for field in attrs.fields(kind) if field.init]


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
    return list(prepared.refused)


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
        except LicenseError as error:
            # What a request does not read may have any licence.
            if weights.part in PARTS:
                found.append(str(error))
    return found


def license_problems(
    base: str,
    modalities: Iterable[str],
    catalog: Catalog,
    *,
    own: Iterable[str] = (),
    parts: Iterable[str] = PARTS,
) -> list[str]:
    """Return what licences forbid of a base and of modalities: code and weights.

    own: the modalities whose weights are a file of the user's, which may be used.
    parts: those of the base that are read.
    """
    found: list[str] = []
    for name, find in (
        (base, catalog.find_base),
        *((name, catalog.find) for name in modalities),
    ):
        try:
            find(name)
        except LicenseError as error:
            found.append(str(error))
        except WorldweaveError:
            pass  # whoever uses it says so
    found += refused_weights_of_base(base, catalog, parts)
    for name in modalities:
        if name not in own:
            found += refused_weights(name, base, catalog)
    return found


def refused_weights(name: str, base: str, catalog: Catalog) -> list[str]:
    """Return why the licence of the branch of modality *name* forbids it, if so."""
    try:
        known = catalog.allowing(None)
        weights = branch_weights(known.find(name), known.find_base(base).name)
    except WorldweaveError:
        return []  # there are none
    refusal = catalog.refusal(weights)
    return [f"modality {name!r}: {refusal}"] if refusal else []


def refused_weights_of_base(
    name: str, catalog: Catalog, parts: Iterable[str] = PARTS
) -> list[str]:
    """Return why licences forbid *parts* of the base called *name*, if so."""
    try:
        base = catalog.allowing(None).find_base(name)
    except WorldweaveError:
        return []  # there are none
    refusals = (catalog.refusal(w) for w in base.weights if w.part in parts)
    return [refusal for refusal in refusals if refusal]


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
