"""List the entry points of installed plugins, importing none of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import attrs

from worldweave_registry.catalog import canonical
from worldweave_registry.errors import let_interrupts_pass
from worldweave_registry.hooks import GROUP

if TYPE_CHECKING:
    from importlib import metadata

_PREFIX = "worldweave.v"
_GENERATION = re.compile(r"worldweave\.v(\d{1,9})")
#: A group that is meant to name a generation: worldweave.v1.1, but not .viewers.
_MEANT = re.compile(r"worldweave\.v(\w?|[\d\W_].*)")
#: Labels of Project-URL, best first, as `_url` compares them.
_HOME = ("homepage", "home")
_SOURCE = ("repository", "source", "sourcecode", "github", "code")
_TRACKER = ("issues", "issuetracker", "bugtracker", "tracker", "bugs", "bugreports")


@attrs.frozen(kw_only=True)
class Installed:
    """One plugin as its distribution announces it."""

    name: str
    distribution: str
    version: str
    entry: metadata.EntryPoint
    license: str = ""
    home: str = ""
    tracker: str = ""
    where: str = ""

    def is_named_in(self, listing: Iterable[str]) -> bool:
        """Whether the list has its name, its distribution or the two with an @."""
        both = f"{self.name}@{self.distribution}"
        names = {canonical(name) for name in (self.name, self.distribution, both)}
        return not names.isdisjoint(map(canonical, listing))

    @property
    def generation(self) -> int | None:
        """The plugin interface it was written for; None: its group names none."""
        match = _GENERATION.fullmatch(self.entry.group)
        return int(match[1]) if match else None


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
        if _PREFIX not in (distribution.read_text("entry_points.txt") or ""):
            return []
        entries = distribution.entry_points
        about = distribution.metadata
    except (OSError, ValueError):
        # A half-removed or unreadable installation of anything at all must
        # not keep worldweave from starting.
        return []
    best: dict[str, metadata.EntryPoint] = {}
    for entry in entries:
        if not _MEANT.fullmatch(entry.group):
            continue
        if entry.name not in best or _rank(entry) > _rank(best[entry.name]):
            best[entry.name] = entry
    if not best:
        return []
    urls = _urls(about)
    return [
        Installed(
            name=name,
            distribution=_text(about, "Name") or "unknown",
            version=_text(about, "Version") or "unknown",
            entry=entry,
            license=_license(about),
            home=_url(urls, _HOME) or _text(about, "Home-page") or _url(urls, _SOURCE),
            tracker=_url(urls, _TRACKER),
            where=_where(distribution),
        )
        for name, entry in best.items()
    ]


def _rank(entry: metadata.EntryPoint) -> int:
    """Return how well we can use it: ours, another generation's, nobody's."""
    if entry.group == GROUP:
        return 2
    return 1 if _GENERATION.fullmatch(entry.group) else 0


def _text(about: metadata.PackageMetadata, key: str) -> str:
    """Return a field that is one line; nothing where it is none or says nothing."""
    # Before Python 3.12 the type has no get().
    text = (about[key] if key in about else "").strip()  # noqa: SIM401
    return "" if text == "UNKNOWN" or not text.isprintable() else text


def _license(about: metadata.PackageMetadata) -> str:
    """Return the licence as the distribution states it, best an SPDX expression."""
    stated = _text(about, "License-Expression") or _text(about, "License")
    if stated:
        return stated
    told = [
        classifier.rpartition("::")[2].strip()
        for classifier in about.get_all("Classifier") or ()
        if classifier.startswith("License ::")
    ]
    return " AND ".join(t for t in told if t != "OSI Approved" and t.isprintable())


def _urls(about: metadata.PackageMetadata) -> dict[str, str]:
    """Return the addresses of a project by label, without case and punctuation."""
    found: dict[str, str] = {}
    for line in about.get_all("Project-URL") or ():
        label, _, address = line.partition(",")
        bare = re.sub(r"[\W_]", "", label).lower()
        if address.strip().isprintable():
            found.setdefault(bare, address.strip())
    return found


def _url(urls: Mapping[str, str], labels: Iterable[str]) -> str:
    return next((urls[label] for label in labels if urls.get(label)), "")


def _where(distribution: metadata.Distribution) -> str:
    """Return the folder of its code: of the sources, where it is installed editable."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            return unquote(urlsplit(origin["url"]).path)
    except BaseException as error:
        let_interrupts_pass(error)  # whatever it is, it only tells where files lie
    try:
        return str(distribution.locate_file(""))
    except BaseException as error:
        # A finder of somebody else's may not know of files.
        let_interrupts_pass(error)
        return ""
