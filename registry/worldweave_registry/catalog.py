"""Every plugin found, and which of them supplies the modality or base asked for."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import attrs

from worldweave_registry import tracing
from worldweave_registry.base import Base
from worldweave_registry.calls import Hooks
from worldweave_registry.errors import (
    AmbiguousBaseError,
    AmbiguousModalityError,
    LicenseError,
    PluginError,
    UnavailableBaseError,
    UnavailableModalityError,
    UnknownBaseError,
    UnknownModalityError,
)
from worldweave_registry.fetch import weights_refusal
from worldweave_registry.licenses import Allowed, allowed_of
from worldweave_registry.modality import Modality, Weights
from worldweave_registry.wording import did_you_mean

D = TypeVar("D", Modality, Base)


class State(enum.Enum):
    """What became of a plugin."""

    READY = "ready"
    DISABLED = "disabled"
    OUTDATED = "outdated"
    BROKEN = "broken"


@attrs.frozen(kw_only=True)
class Plugin:
    """One entry point, whether or not it could be loaded."""

    name: str
    distribution: str
    version: str
    state: State
    problem: str = ""
    """Why the plugin is not ready, on one line."""
    modalities: tuple[Modality, ...] = ()
    bases: tuple[Base, ...] = ()
    hooks: tuple[str, ...] = ()
    """The hooks it implements."""
    license: str = ""
    """Of its distribution; what it supplies states its own."""
    home: str = ""
    """The address of the project."""
    tracker: str = ""
    """The address where bugs are reported."""
    entry: str = ""
    """What its entry point names: ``package.module``."""
    where: str = ""
    """The folder its distribution is installed in."""
    seconds: float = attrs.field(default=0.0, eq=False)
    """How long it took to import it and to ask what it supplies."""
    remark: str = attrs.field(default="", eq=False)
    """One line on what is not as it should be though the plugin works."""

    @property
    def id(self) -> str:
        """``name@distribution``, which no two plugins share."""
        return f"{self.name}@{self.distribution}"

    @property
    def report(self) -> str:
        """Whom to tell where it fails, as the end of an error's line."""
        if self.tracker:
            return f"report it to {self}: {self.tracker}"
        return f"report it to the author of {self}"

    @property
    def licenses(self) -> tuple[str, ...]:
        """The licences of its code: of what it supplies, else of its distribution."""
        stated = [each.license for each in self.supplied]
        return tuple(dict.fromkeys(stated or [self.license]))

    @property
    def supplied(self) -> tuple[Modality | Base, ...]:
        """All it describes."""
        return (*self.modalities, *self.bases)

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@attrs.frozen
class _Kind(Generic[D]):
    """What differs between looking up a modality and looking up a base."""

    word: str
    supplied: Callable[[Plugin], tuple[D, ...]]
    unknown: type[PluginError]
    ambiguous: type[PluginError]
    unavailable: type[PluginError]
    instead: str
    """What to do without one of them."""


_MODALITY = _Kind[Modality](
    "modality",
    lambda plugin: plugin.modalities,
    UnknownModalityError,
    AmbiguousModalityError,
    UnavailableModalityError,
    "leave the modality out",
)
_BASE = _Kind[Base](
    "base",
    lambda plugin: plugin.bases,
    UnknownBaseError,
    AmbiguousBaseError,
    UnavailableBaseError,
    "choose another base",
)


@attrs.frozen(kw_only=True)
class Catalog:
    """Every plugin found, in order of distribution and name.

    Modalities and bases are asked for by name; where two distributions supply
    the same name nobody wins silently: ask for ``name@distribution``.
    """

    plugins: tuple[Plugin, ...]
    hook: Hooks = attrs.field(repr=False, eq=False)
    considered: tuple[str, ...] | None = None
    """What WORLDWEAVE_PLUGINS names; None if it is not set."""

    @property
    def allowed(self) -> Allowed | None:
        """The licences that may be used; None: any."""
        return self.hook.allowed

    def allowing(
        self, licenses: Iterable[str] | None, *, told_by: str = "licenses"
    ) -> Catalog:
        """Return the same plugins, of which only those under *licenses* can be used.

        licenses: SPDX ids, SPDX expressions or addresses; None: any licence. told_by:
        who says so, for errors. `find` and `find_base` refuse code under any other,
        `resolve` and `locate` refuse weights, and the hooks leave out plugins and
        models. Raise LicenseError for what looks like no licence.
        """
        allowed = None
        if licenses is not None:
            allowed = allowed_of(licenses, told_by=told_by, known=self._licenses())
        refused = {
            plugin.id: refusal
            for plugin in self.plugins
            if allowed is not None and (refusal := allowed.refusal(*plugin.licenses))
        }
        hook = attrs.evolve(self.hook, allowed=allowed, refused=refused)
        return attrs.evolve(self, hook=hook)

    def refusal(self, what: Plugin | Modality | Base | Weights) -> str:
        """Return in one line why the licence of *what* keeps it from being used.

        Nothing where it may be. Of a modality or a base the weights are not looked
        at: they have licences of their own.
        """
        if self.allowed is None:
            return ""
        if isinstance(what, Weights):
            return weights_refusal(what, self.allowed)
        if isinstance(what, Plugin):
            outside = self.allowed.refusal(*what.licenses)
            return outside and f"plugin {what.id!r} of {what}: {outside}"
        kind: _Kind[Any] = _MODALITY if isinstance(what, Modality) else _BASE
        supplied = [plugin for plugin, found in self._all(kind) if found is what]
        of = f" of {supplied[0]}" if supplied else ""
        outside = self.allowed.refusal(what.license)
        return outside and (
            f"{kind.word} {what.name!r}{of}: {outside}; allow that too, or "
            f"{kind.instead}"
        )

    @property
    def modalities(self) -> dict[str, Modality]:
        """Every modality by the shortest name that `find` accepts."""
        return self._by_name(_MODALITY)

    @property
    def bases(self) -> dict[str, Base]:
        """Every base by the shortest name that `find_base` accepts."""
        return self._by_name(_BASE)

    def name_of(self, what: Modality | Base) -> str:
        """Return the shortest name by which `find` or `find_base` knows *what*."""
        kind: _Kind[Any] = _MODALITY if isinstance(what, Modality) else _BASE
        named = [plugin for plugin, each in self._all(kind) if each.name == what.name]
        if len(named) < 2:
            return what.name
        (plugin,) = (plugin for plugin, each in self._all(kind) if each is what)
        return _full(plugin, what.name)

    def find(self, name: str) -> Modality:
        """Return the modality called *name* or ``name@distribution``.

        Raises UnknownModalityError, AmbiguousModalityError,
        UnavailableModalityError if its plugin is not ready, or LicenseError.
        """
        return self._permitted(self._look_up(_MODALITY, name)[1])

    def plugin_of(self, name: str) -> Plugin:
        """Return the plugin that supplies the modality, whatever its licence.

        Otherwise raises as `find` does.
        """
        return self._look_up(_MODALITY, name)[0]

    def find_base(self, name: str) -> Base:
        """Return the base called *name* or ``name@distribution``.

        Raises UnknownBaseError, AmbiguousBaseError, UnavailableBaseError if
        its plugin is not ready, or LicenseError.
        """
        return self._permitted(self._look_up(_BASE, name)[1])

    def plugin_of_base(self, name: str) -> Plugin:
        """Return the plugin that supplies the base, whatever its licence.

        Otherwise raises as `find_base` does.
        """
        return self._look_up(_BASE, name)[0]

    def _permitted(self, found: D) -> D:
        if refusal := self.refusal(found):
            raise LicenseError(refusal)
        return found

    def _licenses(self) -> Iterator[str]:
        """Yield every licence that a plugin has told of."""
        for plugin in self.plugins:
            yield plugin.license
            for description in plugin.supplied:
                yield description.license
                yield from (weights.license for weights in description.weights)

    def _all(self, kind: _Kind[D]) -> Iterator[tuple[Plugin, D]]:
        for plugin in self.plugins:
            for description in kind.supplied(plugin):
                yield plugin, description

    def _by_name(self, kind: _Kind[D]) -> dict[str, D]:
        names = [description.name for _, description in self._all(kind)]
        return {
            _full(plugin, description.name)
            if names.count(description.name) > 1
            else description.name: description
            for plugin, description in self._all(kind)
            if not self.refusal(description)
        }

    def _look_up(self, kind: _Kind[D], name: str) -> tuple[Plugin, D]:
        short, distribution = _split(name)
        found = [
            (plugin, description)
            for plugin, description in self._all(kind)
            if description.name == short
            and distribution in ("", canonical(plugin.distribution))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            full = " or ".join(repr(_full(plugin, short)) for plugin, _ in found)
            raise kind.ambiguous(
                f"{len(found)} plugins supply the {kind.word} {short!r}; ask for {full}"
            )
        self._refuse_unavailable(kind, name)
        raise kind.unknown(
            f"no plugin supplies the {kind.word} {name!r}{self._hint(kind, name)}"
        )

    def _refuse_unavailable(self, kind: _Kind[D], name: str) -> None:
        """Say why the plugin that would supply *name* does not.

        It has not told what it supplies, so its own name or its distribution
        must do.
        """
        short, distribution = _split(name)
        unavailable = [
            plugin
            for plugin in self.plugins
            if plugin.state is not State.READY
            and (
                canonical(plugin.distribution) == distribution
                if distribution
                else plugin.name == short
            )
        ]
        reasons = [
            f"{plugin}, which is {plugin.state.value}: {plugin.problem}"
            + (f"; {plugin.report}" if plugin.state is State.BROKEN else "")
            for plugin in unavailable
        ]
        if reasons:
            is_broken = any(plugin.state is State.BROKEN for plugin in unavailable)
            raise kind.unavailable(
                f"the {kind.word} {name!r} comes from {'; and from '.join(reasons)}"
                + (f" ({tracing.ADVICE})" if is_broken else "")
            )

    def _hint(self, kind: _Kind[D], name: str) -> str:
        other: _Kind[Any] = _BASE if kind.word == "modality" else _MODALITY
        if any(name == description.name for _, description in self._all(other)):
            return f"; {name!r} is a {other.word}"
        full = [_full(plugin, found.name) for plugin, found in self._all(kind)]
        known = sorted({found.name for _, found in self._all(kind)})
        if near := did_you_mean(name, full if "@" in name else known):
            return near
        return (
            f"; known: {', '.join(known) if known else 'none'}"
            f"{self._not_loaded()}{self._not_considered()}"
        )

    def _not_loaded(self) -> str:
        plugins = [
            f"{plugin.id} ({plugin.state.value})"
            for plugin in self.plugins
            if plugin.state is not State.READY
        ]
        if not plugins:
            return ""
        return f"; not loaded: {', '.join(plugins)}, see: worldweave plugins"

    def _not_considered(self) -> str:
        if self.considered is None:
            return ""
        named = ",".join(self.considered)
        return f"; WORLDWEAVE_PLUGINS hides all plugins but {named!r}"


def canonical(name: str) -> str:
    """Return *name* as the package index compares names: Acme_Depth is acme-depth."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _split(name: str) -> tuple[str, str]:
    short, _, distribution = name.partition("@")
    return short, canonical(distribution)


def _full(plugin: Plugin, name: str) -> str:
    return f"{name}@{plugin.distribution}"
