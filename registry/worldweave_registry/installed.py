"""List the entry points of installed plugins, importing none of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from worldweave_registry.catalog import canonical
from worldweave_registry.hooks import API, GROUP

if TYPE_CHECKING:
    from importlib import metadata

_ANY_GROUP = re.compile(r"worldweave\.v(\d+)")


@attrs.frozen(kw_only=True)
class Installed:
    """One plugin as its distribution announces it."""

    name: str
    distribution: str
    version: str
    entry: metadata.EntryPoint

    def is_named_in(self, listing: Iterable[str]) -> bool:
        """Whether the list has its name, its distribution or the two with an @."""
        both = f"{self.name}@{self.distribution}"
        names = {canonical(name) for name in (self.name, self.distribution, both)}
        return not names.isdisjoint(map(canonical, listing))

    @property
    def generation(self) -> int:
        """The plugin interface it was written for."""
        match = _ANY_GROUP.fullmatch(self.entry.group)
        return int(match[1]) if match else API


def installed_plugins() -> list[Installed]:
    """Return each plugin once, in order of distribution and name.

    Of two copies of a distribution the first on ``sys.path`` counts, as it
    does for imports. A plugin written for several generations counts as one of
    ours if it can.
    """
    # Imported here for its 20 ms, half of what all the rest of this package
    # takes: whoever only describes a modality does not need it.
    from importlib import metadata

    found: dict[str, list[Installed]] = {}
    for distribution in metadata.distributions():
        plugins = _plugins_of(distribution)
        if plugins:
            found.setdefault(canonical(plugins[0].distribution), plugins)
    return [
        plugin
        for key in sorted(found)
        for plugin in sorted(found[key], key=lambda plugin: plugin.name)
    ]


def _plugins_of(distribution: metadata.Distribution) -> list[Installed]:
    try:
        # Most distributions are not about us; parsing them all is slow.
        if "worldweave.v" not in (distribution.read_text("entry_points.txt") or ""):
            return []
        entries = distribution.entry_points
        about = distribution.metadata
    except (OSError, ValueError):
        # A half-removed or unreadable installation of anything at all must
        # not keep worldweave from starting.
        return []
    best: dict[str, metadata.EntryPoint] = {}
    for entry in entries:
        if _ANY_GROUP.fullmatch(entry.group) and (
            entry.name not in best or entry.group == GROUP
        ):
            best[entry.name] = entry
    return [
        Installed(
            name=name,
            distribution=_text(about, "Name"),
            version=_text(about, "Version"),
            entry=entry,
        )
        for name, entry in best.items()
    ]


def _text(about: metadata.PackageMetadata, key: str) -> str:
    # Before Python 3.12 the type has no get().
    return about[key] if key in about else "unknown"  # noqa: SIM401
