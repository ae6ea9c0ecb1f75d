"""YAML as plain data: what a person wrote as text stays text.

PyYAML reads YAML 1.1, in which ``no`` is false, ``1:30`` is 90 and ``1e3`` is text.
Here, as in YAML 1.2, ``true``, ``false``, ``null``, ``~`` and numbers in decimal are
all that is no text.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

from worldweave.request.plain import (
    cut,
    given_twice,
    parts,
    shown,
    too_deep,
    too_many_digits,
)
from worldweave_registry import Problems

#: How many values a request may hold where its aliases are written out.
MOST = 100_000

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"


def load(text: str, where: str) -> Any:
    """Parse one document. Raise Problems, one line, for whatever is wrong with it."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise Problems([f"{where} is empty; give a request"])
        plain = loader.construct_document(node)
    except _TwiceError as error:
        raise Problems([given_twice(where, error.args[0])]) from error
    except _ManyError as error:
        raise _too_many(where) from error
    except yaml.YAMLError as error:
        raise Problems([_said(error, where)]) from error
    except RecursionError as error:
        raise too_deep(where) from error
    except ValueError as error:
        raise too_many_digits(where) from error
    finally:
        if loader is not None:
            loader.dispose()
    if _holds_many(plain):
        raise _too_many(where)
    return plain


class _TwiceError(Exception):
    """A key stands twice in one object."""


class _ManyError(Exception):
    """There is more than a request can need."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2 with keys that are text, each once, and with merges."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 -- as PyYAML has it
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._count = 0
        self._merged: dict[int, dict[str, Any]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._counted(1)
        return super().compose_node(parent, index)

    def make_object(self, node: Any) -> Any:
        """Construct a mapping; in two steps, as PyYAML needs it for aliases."""
        plain: dict[str, Any] = {}
        yield plain
        if not isinstance(node, yaml.MappingNode):
            raise _wrong(f"expected a mapping, but found {node.id}", node)
        for key, value in self._pairs(node).items():
            plain[key] = self.construct_object(value, deep=True)

    def _pairs(self, node: Any) -> dict[str, Any]:
        """Return the nodes of a mapping by key; its own before what it merges."""
        if id(node) in self._merged:
            return self._merged[id(node)]
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in _sources(value):
                    pairs = self._pairs(source)
                    self._counted(len(pairs))
                    merged = {**pairs, **merged}
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong("a key must be text", key)
            if key.value in own:
                raise _TwiceError(key.value)
            own[key.value] = value
        self._merged[id(node)] = {**merged, **own}
        return self._merged[id(node)]

    def _counted(self, more: int) -> None:
        self._count += more
        if self._count > MOST:
            raise _ManyError


def _sources(node: Any) -> list[Any]:
    """Return the mappings that ``<<`` names, each once."""
    sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
    for source in sources:
        if not isinstance(source, yaml.MappingNode):
            raise _wrong("<< takes a mapping or a list of them", source)
    return list({id(source): source for source in sources}.values())


def _truth(loader: _Loader, node: Any) -> bool:
    text = loader.construct_scalar(node)
    if text not in ("true", "false"):
        raise _wrong(f"{shown(text)} is neither true nor false", node)
    return bool(text == "true")


def _whole(loader: _Loader, node: Any) -> int:
    text = loader.construct_scalar(node)
    if not _WHOLE.fullmatch(text):
        raise _wrong(f"{shown(text)} is no whole number", node)
    return int(text)


def _number(loader: _Loader, node: Any) -> float:
    text = loader.construct_scalar(node)
    if not _NUMBER.fullmatch(text) and not _WHOLE.fullmatch(text):
        raise _wrong(f"{shown(text)} is no number", node)
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _nothing(loader: _Loader, node: Any) -> None:
    text = loader.construct_scalar(node)
    if text not in ("~", "null", ""):
        raise _wrong(f"{shown(text)} is not null", node)


_WHOLE = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.inf|\.nan"
)
_KINDS = (
    ("bool", re.compile(r"true|false"), "tf", _truth),
    ("int", _WHOLE, "-+0123456789", _whole),
    ("float", _NUMBER, "-+.0123456789", _number),
    ("null", re.compile(r"~|null|"), ["~", "n", ""], _nothing),
)
_construct: Any = _Loader.add_constructor
for _name, _form, _first, _make in _KINDS:
    # PyYAML looks for a match at the beginning only.
    _all_of_it = re.compile(f"(?:{_form.pattern})\\Z")
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", _all_of_it, list(_first))
    _construct(f"{_TAG}{_name}", _make)
_Loader.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ["<"])
_construct(_MERGE, _Loader.construct_yaml_str)  # where it is no key
_construct(f"{_TAG}str", _Loader.construct_yaml_str)
_construct(f"{_TAG}seq", _Loader.construct_yaml_seq)
_construct(f"{_TAG}map", _Loader.make_object)
_construct(None, _Loader.construct_undefined)


def _wrong(problem: str, node: Any) -> yaml.YAMLError:
    made: yaml.YAMLError = yaml.constructor.ConstructorError(
        None, None, problem, node.start_mark
    )
    return made


def _said(error: yaml.YAMLError, where: str) -> str:
    at = getattr(error, "problem_mark", None)
    place = "" if at is None else f" at line {at.line + 1}, column {at.column + 1}"
    said = getattr(error, "problem", None) or getattr(error, "reason", None)
    return f"{where} is not YAML: {cut(said or 'it cannot be read')}{place}; correct it"


def _too_many(where: str) -> Problems:
    return Problems(
        [
            f"{where} holds more than {MOST} values, its aliases written out; put "
            "tables and maps in files of their own"
        ]
    )


def _holds_many(plain: Any) -> bool:
    """Tell whether *plain* holds more than MOST values, aliases written out."""
    count, todo = 0, [plain]
    while todo:
        held = parts(todo.pop())
        inner = list(held)
        count += len(inner)
        if count > MOST:
            return True
        todo += inner
    return False
