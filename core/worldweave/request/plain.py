"""JSON and YAML to plain dicts and lists, nothing in them lost or guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from worldweave_registry import Problems

YAML_SUFFIXES = (".yaml", ".yml")


def read_plain(file: Path) -> Any:
    """Return what a JSON or YAML file holds, as dicts and lists."""
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise Problems(
            [f"cannot read {file}: {error.strerror}; check the path"]
        ) from error
    except UnicodeDecodeError as error:
        raise Problems([f"{file} is not text; give a request in JSON"]) from error
    is_yaml = file.suffix.lower() in YAML_SUFFIXES
    return (plain_of_yaml if is_yaml else plain_of_json)(text, where=str(file))


def plain_of_json(text: str, *, where: str) -> Any:
    """Parse JSON. Raise Problems for what is none and for a key given twice."""
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        twice.extend(key for key in dict.fromkeys(keys) if keys.count(key) > 1)
        return dict(items)

    try:
        plain = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise Problems(
            [
                f"{where} is not JSON: {error.msg} at line {error.lineno}, "
                f"column {error.colno}; correct it there"
            ]
        ) from error
    except RecursionError as error:
        raise too_deep(where) from error
    except ValueError as error:  # a number of thousands of digits
        raise Problems([f"{where} is not JSON: {error}; correct it"]) from error
    if twice:
        raise Problems([_given_twice(where, key) for key in twice])
    return plain


def plain_of_yaml(text: str, *, where: str) -> Any:
    """Parse YAML, plain data only, as `plain_of_json` does."""
    try:
        return yaml.load(text, Loader=_Loader)
    except _TwiceError as error:
        raise Problems([_given_twice(where, error.args[0])]) from error
    except yaml.YAMLError as error:
        at = getattr(error, "problem_mark", None)
        place = "" if at is None else f" at line {at.line + 1}, column {at.column + 1}"
        said = getattr(error, "problem", None) or "it cannot be read"
        raise Problems([f"{where} is not YAML: {said}{place}; correct it"]) from error
    except RecursionError as error:
        raise too_deep(where) from error
    except ValueError as error:  # a date that is none
        raise Problems([f"{where} is not YAML: {error}; correct it"]) from error


class _TwiceError(Exception):
    """A key stands twice in one object."""


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, which PyYAML lets win silently."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key_node.tag != "tag:yaml.org,2002:merge" and str(key) in seen:
                raise _TwiceError(str(key))
            seen.add(str(key))
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made


def _given_twice(where: str, key: str) -> str:
    return f"{where}: {key!r} is given twice in one object; keep one of them"


def too_deep(where: str) -> Problems:
    """Return what to raise for *where* that is nested beyond reason."""
    return Problems([f"{where} is nested too deeply; give a request with plain fields"])
