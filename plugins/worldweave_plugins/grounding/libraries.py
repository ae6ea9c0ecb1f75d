"""The libraries that come with worldweave[grounding], asked for when needed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from worldweave import WorldweaveError


def library(name: str) -> Any:
    """Import an optional library; raise WorldweaveError if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise WorldweaveError(_lacking(name)) from error


def missing(name: str) -> str | None:
    """Say that an optional library is not installed, without importing it."""
    return _lacking(name) if find_spec(name) is None else None


def _lacking(name: str) -> str:
    return (
        f"maps from text need {name}, which is not installed; "
        "run: pip install 'worldweave[grounding]'"
    )
