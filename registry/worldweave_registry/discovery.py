"""Load every installed plugin without letting any of them spoil the rest."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import attrs
import pluggy

from worldweave_registry import hooks, misuse, tracing
from worldweave_registry.base import Base
from worldweave_registry.calls import Hooks, call
from worldweave_registry.catalog import Catalog, Plugin, State, canonical
from worldweave_registry.errors import PluginError, let_interrupts_pass
from worldweave_registry.installed import Installed, installed_plugins
from worldweave_registry.licenses import VARIABLE
from worldweave_registry.modality import KINDS, Modality, named_by
from worldweave_registry.wording import one_line

D = TypeVar("D", Modality, Base)

_KNOWN = tuple(name for name in vars(hooks) if name.startswith("worldweave_"))
_HOOK_OF: dict[type, str] = {
    Modality: "worldweave_modalities",
    Base: "worldweave_bases",
}
#: Packages that take long to import, and that listing a plugin never needs.
HEAVY = ("torch", "cv2", "transformers", "triton", "diffusers", "tensorflow", "jax")
SLOW = 1.0
"""Seconds to import a plugin, above which the user is told which one it is."""


def discover(environ: Mapping[str, str] = os.environ) -> Catalog:
    """Look at every installed plugin once and never fail because of one.

    ``WORLDWEAVE_PLUGINS`` names what to consider (unset: all, empty: none) and
    ``WORLDWEAVE_DISABLE`` what to leave out before it is imported, both as
    lists, separated by commas, of a plugin, a distribution or
    ``plugin@distribution``. ``WORLDWEAVE_TRACE=1`` prints every call of a hook
    to standard error, and the traceback of what could not be loaded. What plugins
    print meanwhile goes there, too.
    ``WORLDWEAVE_LICENSES`` lists the licences that may be used, as
    `Catalog.allowing` takes them. Raises LicenseError where it cannot be read.
    """
    considered = _listed(environ.get("WORLDWEAVE_PLUGINS"))
    disabled = _listed(environ.get("WORLDWEAVE_DISABLE")) or ()
    is_traced = tracing.is_traced(environ)
    plugins: list[Plugin] = []
    relays: dict[str, pluggy.HookRelay] = {}
    for found in installed_plugins():
        if considered is not None and not found.is_named_in(considered):
            continue
        if found.is_named_in(disabled):
            plugin = _row(found, State.DISABLED, "named in WORLDWEAVE_DISABLE")
        elif found.generation is None:
            plugin = _row(found, State.BROKEN, _no_generation(found.entry.group))
        elif found.generation != hooks.API:
            plugin = _row(
                found, State.OUTDATED, _which_to_upgrade(found, found.generation)
            )
        else:
            plugin, relay = _load(found, plugins, is_traced)
            if relay is not None:
                relays[plugin.id] = relay
        plugins.append(plugin)
    catalog = Catalog(
        plugins=tuple(plugins), hook=Hooks(relays, is_traced), considered=considered
    )
    return catalog.allowing(environ.get(VARIABLE), told_by=VARIABLE)


def _listed(value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _row(found: Installed, state: State, problem: str = "") -> Plugin:
    return Plugin(
        name=found.name,
        distribution=found.distribution,
        version=found.version,
        state=state,
        problem=problem,
        license=found.license,
        home=found.home,
        tracker=found.tracker,
        entry=found.entry.value,
        where=found.where,
    )


def _no_generation(group: str) -> str:
    return (
        f"the group {group!r} of its entry point names no generation; write "
        f"{hooks.GROUP!r}"
    )


def _which_to_upgrade(found: Installed, generation: int) -> str:
    old = found.distribution if generation < hooks.API else "worldweave"
    return (
        f"written for plugin API {generation}, this worldweave speaks "
        f"{hooks.API}; try: pip install --upgrade {old}"
    )


def _load(
    found: Installed, earlier: Iterable[Plugin], is_traced: bool
) -> tuple[Plugin, pluggy.HookRelay | None]:
    """Import one plugin and ask what it supplies; a failure becomes its problem."""
    ready = _row(found, State.READY)
    light = [name for name in HEAVY if name not in sys.modules]
    begun = time.perf_counter()
    relay = None
    try:
        # Standard output belongs to the command that is running.
        with contextlib.redirect_stdout(sys.stderr):
            relay = _register(_import(found), ready.id)
            plugin = attrs.evolve(
                ready,
                hooks=tuple(name for name in _KNOWN if _implements(relay, name)),
                modalities=_described(relay, ready, Modality, is_traced),
                bases=_described(relay, ready, Base, is_traced),
            )
        _refuse_doubles(plugin, earlier)
    except BaseException as error:
        let_interrupts_pass(error)
        if is_traced:
            tracing.show(f"{ready.id} cannot be loaded", error)
        plugin, relay = _row(found, State.BROKEN, _in_one_line(error)), None
    seconds = time.perf_counter() - begun
    remark = _slowness(seconds, [name for name in light if name in sys.modules])
    return attrs.evolve(plugin, seconds=seconds, remark=remark), relay


def _in_one_line(error: BaseException) -> str:
    kinds = (*KINDS, Base)
    return misuse.told(error, kinds) or one_line(error)


def _slowness(seconds: float, heavy: Sequence[str]) -> str:
    if seconds <= SLOW and not heavy:
        return ""
    imports = f", it imports {' and '.join(heavy)}" if heavy else ""
    return (
        f"slow to list: {seconds:.1f} s{imports}; name heavy parts by import path "
        "instead"
    )


def _import(found: Installed) -> object:
    entry = found.entry
    if entry.pattern.match(entry.value) is None:
        raise PluginError(
            f"entry point {entry.value!r} is not 'package.module' or "
            "'package.module:name'"
        )
    target: object = entry.load()
    if isinstance(target, type):
        raise PluginError(
            f"entry point {entry.value!r} is a class; name a module or an instance"
        )
    return target


def _register(target: object, plugin: str) -> pluggy.HookRelay:
    """Give one plugin a manager of its own, so that it can disturb no other."""
    manager = pluggy.PluginManager("worldweave")
    # Registered before the hooks are known, so that the words on a hook that does not
    # fit are ours.
    manager.register(target, name=plugin)
    callers = manager.get_hookcallers(target) or []
    for caller in callers:
        for implementation in caller.get_hookimpls():
            if implementation.hookwrapper or implementation.wrapper:
                raise PluginError(f"{caller.name} is a wrapper, which is never called")
            if caller.name in _KNOWN:
                takes = inspect.signature(getattr(hooks, caller.name)).parameters
                given = implementation.argnames
                if wrong := misuse.wrong_argument(caller.name, takes, given):
                    raise PluginError(wrong)
            elif not implementation.optionalhook:
                raise PluginError(misuse.unknown_hook(caller.name, _KNOWN))
    manager.add_hookspecs(hooks)
    for name in _KNOWN:
        if hasattr(target, name) and not _implements(manager.hook, name):
            raise PluginError(f"{name} needs @worldweave.hookimpl above it")
    if not callers:
        raise PluginError(f"implements no hook; there are {', '.join(_KNOWN)}")
    return manager.hook


def _implements(relay: pluggy.HookRelay, hook: str) -> bool:
    caller: pluggy.HookCaller = getattr(relay, hook)
    return bool(caller.get_hookimpls())


def _described(
    relay: pluggy.HookRelay, plugin: Plugin, kind: type[D], is_traced: bool
) -> tuple[D, ...]:
    """Ask one plugin for its modalities or bases; refuse what is neither."""
    hook = _HOOK_OF[kind]
    if not _implements(relay, hook):
        return ()
    expected = f"expected a list of {kind.__name__}"
    answers = call(relay, plugin.id, hook, is_traced)
    if not answers:  # pluggy drops None
        raise PluginError(f"{hook}() returned None, {expected}")
    described: list[D] = []
    for answer in answers:
        if not isinstance(answer, Iterable):
            raise PluginError(f"{hook}() returned {_a(answer)}, {expected}")
        for item in answer:
            if not isinstance(item, kind):
                raise PluginError(
                    f"{hook}() returned {_a(answer)} holding {_a(item)}, {expected}"
                )
            described.append(named_by(item, plugin.id, plugin.report))
    return tuple(described)


def _a(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _refuse_doubles(plugin: Plugin, earlier: Iterable[Plugin]) -> None:
    """Keep ``name@distribution`` unambiguous."""
    siblings = [
        other
        for other in earlier
        if canonical(other.distribution) == canonical(plugin.distribution)
    ]
    for word in ("modalities", "bases"):
        names = Counter(found.name for found in getattr(plugin, word))
        for name, times in names.items():
            if times > 1:
                raise PluginError(f"describes {name!r} {times} times in its {word}")
            for other in siblings:
                if any(name == found.name for found in getattr(other, word)):
                    raise PluginError(
                        f"{name!r} is already among the {word} of plugin {other.id!r}"
                    )
