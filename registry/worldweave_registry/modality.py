"""What a plugin says about a modality: data only, heavy parts named by path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
from attrs.validators import optional

from worldweave_registry import fields, misuse, tracing
from worldweave_registry.errors import (
    DescriptionError,
    PluginError,
    WorldweaveError,
    let_interrupts_pass,
)
from worldweave_registry.wording import did_you_mean, one_line

T = TypeVar("T")

#: Where a module fails for one of these, no plugin is to blame.
_NOBODYS_FAULT = (WorldweaveError, MemoryError)
_DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_IMPORT_PATH = re.compile(f"{_DOTTED}:{_DOTTED}")


def _is_import_path(lazy: Lazy, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not (isinstance(value, str) and _IMPORT_PATH.fullmatch(value)):
        raise DescriptionError(
            f"import path {value!r} is not text like 'package.module:Name'"
        )


@attrs.frozen
class Lazy:
    """An import that has not happened yet, written ``package.module:Name``.

    Two of them are equal when their paths are. The rest is filled in on discovery
    and only used to say who named the path.
    """

    path: str = attrs.field(validator=_is_import_path)
    plugin: str = attrs.field(default="", kw_only=True, eq=False, repr=False)
    report: str = attrs.field(
        default="report it to the plugin's author", kw_only=True, eq=False, repr=False
    )
    """Whom to tell where what the path names fails: see `Plugin.report`."""

    def __str__(self) -> str:
        return self.path

    def load(self) -> Any:
        """Import the module and return the object the path names.

        Raises PluginError, whatever the module itself raises, so that one
        line tells which path failed, why, which plugin names it, and whom to tell
        where that is its fault. The import paths in a Recipe have the same plugin.
        """
        module_path, _, names = self.path.partition(":")
        try:
            target: Any = import_module(module_path)
        except BaseException as error:
            let_interrupts_pass(error)
            advice = _how_to_mend(error, module_path)
            reason = misuse.told(error, KINDS) or one_line(error) + advice
            is_at_fault = not (advice or isinstance(error, _NOBODYS_FAULT))
            raise self._failed(reason, error, is_at_fault) from error
        where = module_path
        for name in names.split("."):
            try:
                target = getattr(target, name)
            except BaseException as error:
                let_interrupts_pass(error)
                reason = one_line(error)
                if isinstance(error, AttributeError):
                    near = did_you_mean(name, _public_names(target))
                    reason = f"{where!r} has no {name!r}{near}"
                raise self._failed(reason, error) from error
            where = f"{where}.{name}"
        if self.plugin and isinstance(target, Recipe):
            return named_by(target, self.plugin, self.report)
        return target

    def _failed(
        self, reason: str, error: BaseException, is_at_fault: bool = True
    ) -> PluginError:
        named_by = f", named by plugin {self.plugin!r}" if self.plugin else ""
        what = f"cannot load {self.path!r}{named_by}"
        if tracing.is_traced():
            tracing.show(what, error)
        report = f"; {self.report}" if self.plugin and is_at_fault else ""
        return PluginError(f"{what}: {reason}{report}")


def lazy(value: str | Lazy) -> Lazy:
    """Let plugins write an import path as plain text."""
    return value if isinstance(value, Lazy) else Lazy(value)


def optional_lazy(value: str | Lazy | None) -> Lazy | None:
    """Do as `lazy`, but let None be."""
    return None if value is None else lazy(value)


def lazies(value: Mapping[str, str | Lazy]) -> Mapping[str, Lazy]:
    """Do as `lazy` for every value of a mapping."""
    if not isinstance(value, Mapping):
        return value
    return fields.Frozen({name: lazy(path) for name, path in value.items()})


def named_by(description: T, plugin: str, report: str) -> T:
    """Note in every import path of *description* which plugin names it."""
    whole: Any = description
    noted = {"plugin": plugin, "report": report}
    changes: dict[str, Any] = {}
    for field in attrs.fields(type(whole)):
        value = getattr(whole, field.name)
        if isinstance(value, Lazy):
            changes[field.name] = attrs.evolve(value, **noted)
        elif isinstance(value, Mapping) and any(
            isinstance(each, Lazy) for each in value.values()
        ):
            changes[field.name] = {
                name: attrs.evolve(path, **noted) for name, path in value.items()
            }
    return cast("T", attrs.evolve(whole, **changes))


def _how_to_mend(error: BaseException, module_path: str) -> str:
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return ""
    if error.name.partition(".")[0] in ("worldweave", "worldweave_registry"):
        return ""
    if f"{module_path}.".startswith(f"{error.name}."):
        return "; check the spelling, or reinstall the plugin"
    return f"; install the package that provides {error.name!r}"


def _public_names(target: object) -> list[str]:
    return [name for name in dir(target) if not name.startswith("_")]


@attrs.frozen(kw_only=True)
class Weights:
    """One checkpoint: where it lies, and which base and part it belongs to."""

    base: str = attrs.field(validator=fields.base_name)
    uri: str = attrs.field(validator=fields.line)
    """A path, ``file:``, ``package:import_package/path`` or what a plugin fetches."""
    license: str = attrs.field(validator=fields.line)
    """SPDX id or address of the licence, shown before anything is downloaded."""
    sha256: str | None = attrs.field(
        default=None, converter=fields.lower, validator=optional(fields.sha256)
    )
    part: str = attrs.field(
        default="branch",
        validator=fields.one_of(
            "branch", "dit", "autoencoder", "text_encoder", "annotator", "maps"
        ),
    )
    bytes: int | None = attrs.field(
        default=None, validator=optional(fields.positive_whole)
    )
    """Size, to be told to the user before a download."""


def as_weights(value: Iterable[Weights]) -> tuple[Weights, ...]:
    """Let plugins give their weights as any iterable."""
    return fields.as_tuple(value)


@attrs.frozen(kw_only=True)
class Model:
    """A model that a plugin's hook reads: where it lies, or why it cannot be read."""

    name: str = attrs.field(validator=fields.line)
    license: str = attrs.field(validator=fields.line)
    bytes: int | None = attrs.field(
        default=None, validator=optional(fields.positive_whole)
    )
    """Its size, or that of the download where it is missing."""
    path: Path | None = attrs.field(
        default=None, converter=attrs.converters.optional(Path)
    )
    problem: str | None = attrs.field(default=None, validator=optional(fields.line))
    """One line that says what is missing and how to get it; None: it is there."""


@attrs.frozen(kw_only=True)
class Recipe:
    """How to train a branch while the base stays frozen: all that `train` needs.

    The noise level sigma is log-normal: log sigma has mean ``sigma_mean`` and
    standard deviation ``sigma_std``. The optimiser is AdamW.
    """

    steps: int = attrs.field(validator=fields.positive_whole)
    learning_rate: float = attrs.field(validator=fields.positive)
    """The highest; it rises over ``warmup`` and falls over ``cooldown``."""
    base: str = attrs.field(default="tiny-world", validator=fields.base_name)
    """The base it is made for, and trains for unless told otherwise."""
    batch_size: int = attrs.field(default=8, validator=fields.positive_whole)
    warmup: int = attrs.field(default=50, validator=fields.whole)
    """Steps over which the learning rate rises from 0."""
    cooldown: float = attrs.field(default=0.4, validator=fields.share)
    """The share of the steps, at the end, over which it falls to 0."""
    betas: tuple[float, float] = attrs.field(
        default=(0.9, 0.98), converter=fields.as_betas, validator=fields.betas
    )
    """How slowly AdamW's averages of the gradient and of its square follow."""
    weight_decay: float = attrs.field(default=0.01, validator=fields.not_negative)
    """On matrices alone."""
    max_gradient: float = attrs.field(default=1.0, validator=fields.positive)
    """The norm to which the gradient is clipped."""
    ema: float = attrs.field(default=0.999, validator=fields.below_one)
    """How slowly the average of the weights follows; 0: the last weights count."""
    sigma_mean: float = attrs.field(default=0.0, validator=fields.number)
    sigma_std: float = attrs.field(default=1.0, validator=fields.positive)
    random_options: Mapping[str, tuple[Any, ...]] = attrs.field(
        factory=dict[str, "tuple[Any, ...]"],
        converter=fields.as_choices,
        validator=fields.choices,
    )
    """Options of the preprocessor to be drawn for each clip: by name, the values to
    draw from, as a list or a range."""
    dataset: Lazy | None = attrs.field(default=None, converter=optional_lazy)
    """A callable (seed, count) that yields clips; None: the base's own."""


@attrs.frozen(kw_only=True)
class Modality:
    """Everything worldweave needs to know before it loads a modality.

    Import paths may be given as plain text. Raises DescriptionError for a
    value that cannot be.
    """

    name: str = attrs.field(validator=fields.modality_name)
    summary: str = attrs.field(validator=fields.line)
    license: str = attrs.field(validator=fields.line)
    """Licence of the plugin's code; each checkpoint has its own."""
    preprocessor: Lazy | None = attrs.field(converter=optional_lazy)
    """An attrs class whose fields are the options of a request, called with
    frames, uint8 (T, H, W, 3), and returning a control of the same shape.
    None: the user must give a control video."""
    branch: Lazy = attrs.field(
        default=Lazy("worldweave.model.branch:CosmosBranch"), converter=lazy
    )
    recipe: Lazy | None = attrs.field(default=None, converter=optional_lazy)
    metric: Lazy | None = attrs.field(default=None, converter=optional_lazy)
    weights: tuple[Weights, ...] = attrs.field(
        default=(), converter=as_weights, validator=fields.each_is(Weights)
    )
    is_label_video: bool = attrs.field(default=False, validator=fields.truth)
    """A colour of the control is a class: it is scaled without mixing colours."""
    default_map: float = attrs.field(default=0.5, validator=fields.share)
    """The blending weight, 0 to 1, where a request gives none."""
    metadata: Mapping[str, str] = attrs.field(
        factory=dict[str, str],
        converter=fields.as_metadata,
        validator=fields.text_to_text,
    )


#: What plugins build besides a Base.
KINDS: tuple[type, ...] = (Lazy, Weights, Model, Recipe, Modality)
