"""Which licences a user allows, and whether a plugin's or a checkpoint's is one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TypeAlias

import attrs

from worldweave_registry.errors import LicenseError

VARIABLE = "WORLDWEAVE_LICENSES"
#: A licence, or an operator and what it joins.
Node: TypeAlias = "str | tuple[str, frozenset[Node]]"

_TOKEN = re.compile(r"[()]|[^\s()]+")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*(:LicenseRef-[A-Za-z0-9.-]+)?")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_OPERATORS = ("and", "or", "with")
_MOST_TOKENS = 200  # more is no licence but an attempt on the recursion below
_ADVICE = (
    "give SPDX ids such as MIT,Apache-2.0, SPDX expressions, or addresses as the "
    "plugins name them"
)

_COMMON = (
    *("AGPL-3.0-only", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0"),
    *("CC-BY-NC-4.0", "CC-BY-SA-4.0", "CC0-1.0", "GPL-2.0-only", "GPL-3.0-only"),
    *("ISC", "LGPL-2.1-only", "LGPL-3.0-only", "MIT", "MPL-2.0", "Unlicense"),
)
#: What people write for them, as `_bare` leaves it.
_NICKNAMES = {
    **{re.sub(r"[^a-z0-9]", "", name.lower()): name for name in _COMMON},
    **dict.fromkeys(("apache", "apache2", "apachev2", "asl2"), "Apache-2.0"),
    **dict.fromkeys(("bsd", "bsd3", "newbsd", "modifiedbsd"), "BSD-3-Clause"),
    **dict.fromkeys(("bsd2", "simplifiedbsd"), "BSD-2-Clause"),
    **dict.fromkeys(("gpl", "gpl3", "gplv3"), "GPL-3.0-only"),
    **dict.fromkeys(("gpl2", "gplv2"), "GPL-2.0-only"),
    **dict.fromkeys(("lgpl", "lgpl3", "lgplv3"), "LGPL-3.0-only"),
    **dict.fromkeys(("agpl", "agpl3", "agplv3"), "AGPL-3.0-only"),
    **dict.fromkeys(("mpl", "mpl2"), "MPL-2.0"),
    **{"cc0": "CC0-1.0", "ccby": "CC-BY-4.0", "ccbysa": "CC-BY-SA-4.0"},
}


@attrs.frozen
class Allowed:
    """The licences a user allows, and who says so: a flag, a variable, an argument."""

    entries: tuple[str, ...]
    told_by: str = "licenses"
    _nodes: frozenset[Node] = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        nodes = frozenset(_read(entry) or _plain(entry) for entry in self.entries)
        object.__setattr__(self, "_nodes", nodes)

    def allows(self, license: str) -> bool:
        """Whether *license*, an SPDX expression or an address, is among them.

        Of ``A OR B`` one will do, ``A AND B`` needs both; ``A WITH exception`` must
        be listed as it is. Case does not matter. No licence at all is none of them.
        """
        return self._has(_read(license) or _plain(license))

    def refusal(self, *licenses: str) -> str:
        """Return why not all of *licenses* are allowed, as the end of a sentence."""
        outside = [each for each in dict.fromkeys(licenses) if not self.allows(each)]
        if not outside:
            return ""
        listing = ", ".join(self.entries)
        if not all(each.strip() for each in outside):
            return f"it states no licence, and {self.told_by} allows only {listing}"
        allowed = f"{self.told_by} allows ({listing})"
        told = " and ".join(map(repr, outside))
        if len(outside) == 1:
            return f"licence {told} is not among those that {allowed}"
        return f"licences {told} are not among those that {allowed}"

    def _has(self, node: Node) -> bool:
        if node in self._nodes:
            return True
        if isinstance(node, str):
            return False
        operator, parts = node
        return (any if operator == "or" else all)(map(self._has, parts))


def allowed_of(
    listing: Iterable[str], *, told_by: str = "licenses", known: Iterable[str] = ()
) -> Allowed:
    """Return what *listing* allows; commas in its items separate, too.

    known: licences that are in use, which may be listed whatever they look like.
    Raise LicenseError where it is empty or an item looks like no licence.
    """
    items = [listing] if isinstance(listing, str) else list(listing)
    odd = [repr(item) for item in items if not isinstance(item, str)]
    if odd:
        raise LicenseError(
            f"{told_by} has {', '.join(odd)}, which is no text; {_ADVICE}"
        )
    names = [part.strip() for item in items for part in item.split(",")]
    entries = tuple(dict.fromkeys(name for name in names if name))
    if not entries:
        raise LicenseError(f"{told_by} lists no licence; {_ADVICE}")
    in_use = {_plain(each) for each in known}
    problems = [p for each in entries if (p := _problem(each, in_use))]
    if problems:
        raise LicenseError(f"{told_by} has {'; and '.join(problems)}")
    return Allowed(entries, told_by)


def _problem(entry: str, in_use: set[str]) -> str:
    """Return why *entry* can be no licence, such as ``Apache 2.0``."""
    if _plain(entry) in in_use:
        return ""
    node = _read(entry)
    names = [entry] if node is None else sorted(_leaves(node))
    for name in names:
        if node is None or not (name in in_use or _is_known(name)):
            return (
                f"{name!r}, which is neither an SPDX id nor an address"
                f"{_meant(name) or f'; {_ADVICE}'}"
            )
    return ""


def _is_known(name: str) -> bool:
    if _ADDRESS.fullmatch(name):
        return True
    # Whoever restricts no licence does not wait for it.
    from packaging.licenses import (
        InvalidLicenseExpression,
        canonicalize_license_expression,
    )

    try:
        canonicalize_license_expression(name)
    except InvalidLicenseExpression:
        return False
    return True


def _meant(name: str) -> str:
    bare = _bare(name)
    near = difflib.get_close_matches(bare, _NICKNAMES, n=1, cutoff=0.75)
    return f"; did you mean {_NICKNAMES[near[0]]!r}?" if near else ""


def _bare(name: str) -> str:
    words = re.sub(r"\b(the|licen[sc]e|version|v(?=\d))\s*", "", name.lower())
    return re.sub(r"[^a-z0-9]", "", words)


def _plain(text: str) -> str:
    """Return *text* as licences are compared."""
    one = " ".join(text.split()).casefold()
    return one.rstrip("/") if _ADDRESS.fullmatch(one) else one


def _leaves(node: Node) -> set[str]:
    if isinstance(node, str):
        return {node}
    return {leaf for part in node[1] for leaf in _leaves(part)}


def _read(text: str) -> Node | None:
    """Return *text* as a tree in which order and parentheses no longer matter.

    None where it is no SPDX expression.
    """
    if _ADDRESS.fullmatch(text.strip()):
        return _plain(text)
    tokens = _TOKEN.findall(text)
    if not 0 < len(tokens) <= _MOST_TOKENS:
        return None
    tokens.reverse()
    node = _joined(tokens, "or")
    return None if tokens else node


def _joined(tokens: list[str], operator: str) -> Node | None:
    """Take parts joined by *operator* from the end of *tokens*."""
    parts: list[Node] = []
    while True:
        part = _joined(tokens, "and") if operator == "or" else _part(tokens)
        if part is None:
            return None
        is_same = isinstance(part, tuple) and part[0] == operator
        parts += part[1] if is_same else [part]
        if not tokens or tokens[-1].lower() != operator:
            break
        tokens.pop()
    return parts[0] if len(set(parts)) == 1 else (operator, frozenset(parts))


def _part(tokens: list[str]) -> Node | None:
    """Take a licence, with its exception if it has one, or what is in parentheses."""
    if tokens and tokens[-1] == "(":
        tokens.pop()
        inside = _joined(tokens, "or")
        return inside if tokens and tokens.pop() == ")" else None
    name = _name(tokens)
    if name is None or not (tokens and tokens[-1].lower() == "with"):
        return name
    tokens.pop()
    exception = _name(tokens)
    return None if exception is None else f"{name} with {exception}"


def _name(tokens: list[str]) -> str | None:
    if not tokens or tokens[-1].lower() in _OPERATORS:
        return None
    name = tokens.pop()
    is_name = _ID.fullmatch(name) or _ADDRESS.fullmatch(name)
    return _plain(name) if is_name else None
