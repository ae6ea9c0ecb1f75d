"""Call hooks one plugin at a time, so that a failure stays with its plugin."""

from __future__ import annotations

import os
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pluggy

from worldweave_registry.errors import (
    LicenseError,
    PluginError,
    WorldweaveError,
    let_interrupts_pass,
)
from worldweave_registry.licenses import Allowed
from worldweave_registry.modality import Model
from worldweave_registry.wording import one_line


@attrs.frozen
class Hooks:
    """The hooks of every ready plugin, as methods of the same names.

    Plugins are asked in order of distribution and name; those that marked an
    implementation ``tryfirst`` or ``trylast`` go first or last. A plugin that
    fails does not keep the next from answering. If none answers, its error is
    raised: as it is if it is the only one and meant for the user, otherwise as
    a PluginError naming the plugins. Left out is who stands under a licence that
    is not allowed, or would run a model that does; if nobody else answers, a
    LicenseError names who was left out.
    """

    relays: Mapping[str, pluggy.HookRelay] = attrs.field(repr=False)
    """Plugin id -> the hooks of this plugin alone."""
    is_traced: bool = False
    allowed: Allowed | None = None
    """The licences that may be used; None: any."""
    refused: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    """Plugin id -> why the licence of its code is not allowed."""

    def worldweave_fetch(self, *, uri: str) -> Path | None:
        """Return the local file the first plugin that knows *uri* gives, or None."""
        answer: Path | None = self._first("worldweave_fetch", _as_path, uri=uri)
        return answer

    def worldweave_map(self, *, prompt: str, video: Any) -> Any:
        """Return the first map, as the plugin gave it and unchecked, or None."""
        return self._first(
            "worldweave_map", _as_it_is, "map", prompt=prompt, video=video
        )

    def worldweave_objects(self, *, prompt: str, video: Any) -> Any:
        """Return the first masks by object, unchecked, or None."""
        return self._first(
            "worldweave_objects", _as_it_is, "objects", prompt=prompt, video=video
        )

    def worldweave_foreground(
        self, *, classifier: str, video: Any, masks: Mapping[str, Any]
    ) -> Any:
        """Return the first answer of what is foreground, unchecked, or None."""
        return self._first(
            "worldweave_foreground",
            _as_it_is,
            f"foreground:{classifier}",
            classifier=classifier,
            video=video,
            masks=masks,
        )

    def worldweave_models(self, *, task: str) -> tuple[Model, ...] | None:
        """Return the models that the first plugin that knows *task* reads, or None."""
        answer: tuple[Model, ...] | None = self._first(
            "worldweave_models", _as_models, task, task=task
        )
        return answer

    def refusal(self, hook: str, task: str) -> str:
        """Return why licences leave no plugin that could do *task*, in one line.

        hook: the one that does it. Nothing where a plugin is left, or none was there.
        """
        left_out = []
        for plugin in self._in_turn(hook):
            try:
                why = self._left_out(plugin, task)
            except BaseException as error:
                let_interrupts_pass(error)
                why = ""  # told by the call itself
            if not why:
                return ""
            left_out.append(why)
        return _left_out_alone(hook, left_out) if left_out else ""

    def _first(
        self,
        hook: str,
        convert: Callable[[Any], Any],
        reading_for: str = "",
        **arguments: Any,
    ) -> Any:
        """Return the first answer; *reading_for* is the task it takes models for."""
        failures: list[tuple[str, BaseException]] = []
        left_out: list[str] = []
        for plugin in self._in_turn(hook):
            try:
                if why := self._left_out(plugin, reading_for):
                    left_out.append(why)
                    continue
                answer = call(
                    self.relays[plugin], plugin, hook, self.is_traced, **arguments
                )
                if answer is not None:
                    return convert(answer)
            except BaseException as error:
                let_interrupts_pass(error)
                failures.append((plugin, error))
        if not failures:
            if left_out:
                raise LicenseError(_left_out_alone(hook, left_out))
            return None
        first = failures[0][1]
        if len(failures) == 1 and not left_out and isinstance(first, WorldweaveError):
            raise first
        told = [f"{plugin!r}: {one_line(error)}" for plugin, error in failures]
        told += (f"left out: {why}" for why in left_out)
        raise PluginError(f"{hook} failed in plugin {'; '.join(told)}") from first

    def _left_out(self, plugin: str, task: str) -> str:
        """Return why the licence of *plugin*, or of a model it reads, is not allowed.

        Raise whatever it raises when it is asked for the models of *task*.
        """
        if self.allowed is None:
            return ""
        if plugin in self.refused:
            return f"plugin {plugin!r}: {self.refused[plugin]}"
        hook = "worldweave_models"
        if not task or not getattr(self.relays[plugin], hook).get_hookimpls():
            return ""
        answer = call(self.relays[plugin], plugin, hook, self.is_traced, task=task)
        refusals = [
            f"model {model.name!r} of plugin {plugin!r}: {outside}"
            for model in ([] if answer is None else _as_models(answer))
            if (outside := self.allowed.refusal(model.license))
        ]
        return "; ".join(refusals)

    def _in_turn(self, hook: str) -> list[str]:
        turns = [
            (implementation.trylast - implementation.tryfirst, position, plugin)
            for position, (plugin, relay) in enumerate(self.relays.items())
            for implementation in getattr(relay, hook).get_hookimpls()
        ]
        return list(dict.fromkeys(plugin for *_, plugin in sorted(turns)))


def _left_out_alone(hook: str, left_out: Iterable[str]) -> str:
    return (
        f"{hook} has no answer; left out: {'; '.join(left_out)}; allow that too, or "
        "install another plugin"
    )


def call(
    relay: pluggy.HookRelay, plugin: str, hook: str, is_traced: bool, **arguments: Any
) -> Any:
    """Call *hook* of one plugin; if traced, tell standard error of it."""
    if not is_traced:
        return getattr(relay, hook)(**arguments)
    given = ", ".join(f"{key}={_brief(value)}" for key, value in arguments.items())
    heading = f"worldweave: {plugin} {hook}({given})"
    try:
        answer = getattr(relay, hook)(**arguments)
    except BaseException as error:
        print(f"{heading} raised {one_line(error)}", file=sys.stderr)
        raise
    print(f"{heading} -> {_brief(answer)}", file=sys.stderr)
    return answer


def _brief(value: object) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__}{shape}"
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return " ".join(short.repr(value).split())


def _as_path(answer: Any) -> Path:
    if not isinstance(answer, (str, os.PathLike)):
        raise TypeError(f"returned {type(answer).__name__}, expected a path or None")
    return Path(answer)


def _as_models(answer: Any) -> tuple[Model, ...]:
    models = tuple(answer)
    for each in models:
        if not isinstance(each, Model):
            raise TypeError(f"returned a {type(each).__name__}, expected Models")
    return models


def _as_it_is(answer: Any) -> Any:
    return answer
