"""Write the parts of a page as HTML; what a person wrote is shown and never run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files

_HERE = "worldweave.report.page_parts"
#: What the speed menu offers: how it is shown, and the factor.
_SPEEDS = (("⅛", 0.125), ("¼", 0.25), ("½", 0.5), ("1", 1.0))


def asset(package: str, name: str) -> str:
    """Return the text of a file that lies in *package*."""
    return files(package).joinpath(name).read_text("utf-8")


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Put *parts* where *template* has their {name}."""
    # In one go: what is put in may itself hold such a name.
    return re.sub(r"\{(\w+)\}", lambda name: parts[name[1]], template)


def whole_page(
    *,
    title: str,
    header: str,
    player: str,
    main: str,
    style: str = "",
    script: str = "",
    without_script: str = "",
) -> str:
    """Return a page that loads nothing, by its own rule (CSP).

    title, without_script: words. header, player, main: HTML. style, script: what
    the page has beyond the parts that all pages share.
    """
    parts = {
        "title": escape(title),
        "header": header,
        "player": player,
        "main": main,
        "style": asset(_HERE, "base.css") + style,
        "script": asset(_HERE, "player.js") + script,
        "without_script": escape(without_script),
    }
    return fill(asset(_HERE, "shell.html"), parts)


def player(*, speed: float, settings: str = "", hidden: bool = False) -> str:
    """Return the bar that moves all clips. speed: 0.125, 0.25, 0.5 or 1, at first.

    settings: HTML of further menus. hidden: for a page whose clips do not move.
    """
    speeds = "".join(
        f'<option value="{factor:g}"{" selected" * (factor == speed)}>{shown}</option>'
        for shown, factor in _SPEEDS
    )
    parts = {
        "speeds": speeds,
        "settings": settings,
        "hidden": " hidden" * hidden,
    }
    return fill(asset(_HERE, "player.html"), parts)


def term(name: str, meaning: str) -> str:
    """Return one pair of a <dl>."""
    return f"<div><dt>{escape(name)}</dt><dd>{escape(meaning)}</dd></div>"


def terms(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the pairs of a <dl>."""
    return "".join(term(name, meaning) for name, meaning in pairs)


def items(lines: Iterable[str]) -> str:
    """Return the lines of a list."""
    return "".join(f"<li>{escape(line)}</li>" for line in lines)
