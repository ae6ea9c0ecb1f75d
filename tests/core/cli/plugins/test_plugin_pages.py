"""Tables and pages fit the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from worldweave.cli.plugin_pages import page, table


def test_a_narrow_terminal_has_the_long_column_below() -> None:
    rows = [("NAME", "ABOUT"), ("x" * 60, "one two " * 20)]
    lines = table(rows, 80).splitlines()
    assert lines[:3] == ["NAME", "    ABOUT", "x" * 60]
    assert max(map(len, lines)) <= 80
    assert table(rows).count("\n") == 1


def test_a_wide_terminal_has_it_beside() -> None:
    rows = [("NAME", "ABOUT"), ("x", "one two " * 20)]
    lines = table(rows, 60).splitlines()
    assert lines[1].startswith("x     one two")
    assert lines[2].startswith("      ")
    assert max(map(len, lines)) <= 60


def test_a_page_fits_the_terminal(record: Callable[..., Any]) -> None:
    for width in (60, 80, 200):
        lines = page(record("haze"), width).splitlines()
        assert max(len(line) for line in lines if os.sep not in line) <= min(width, 100)


def test_what_a_terminal_cannot_show_or_must_not_obey_is_replaced(
    put: Callable[..., None],
    told: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put("acme-rude", "raise OSError('\\x1b[2Jgone')", "rude")
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "acme-rude")
    assert "OSError: ?[2Jgone" in told("plugins")
