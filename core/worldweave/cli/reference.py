"""Write the reference of all commands: python -m worldweave.cli.reference.

It reads the commands' own signatures, so it says the same whatever the width of the
terminal and the version of typer.
"""

from __future__ import annotations

import enum
import inspect
import pathlib
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import typer

HEADING = """# All commands

<!-- written by: python -m worldweave.cli.reference > docs/commands.md -->

Every command takes `--help`. Results go to standard output, progress and complaints to
standard error. Exit code 0: done; 2: a mistake of yours, told in one line each;
3: memory ran out; 130: stopped by Ctrl-C. Where a command has others, it says so.
"""
_TYPES: dict[Any, str] = {str: "TEXT", int: "INTEGER", float: "NUMBER"}
_TYPES[pathlib.Path] = "PATH"


@attrs.frozen(kw_only=True)
class Parameter:
    """An argument or a flag: how it is written, and what it means."""

    written: str
    meaning: str
    is_flag: bool
    is_required: bool


def page(app: typer.Typer) -> str:
    """Return the reference of an application, in Markdown."""
    commands = list(commands_of(app, "worldweave"))
    parts = [HEADING]
    rows = [
        f"| [`{name}`](#{name.replace(' ', '-')}) | {_paragraphs(function)[0]} |"
        for name, function in commands
    ]
    parts.append("\n".join(["| command | |", "|---|---|", *rows]) + "\n")
    parts += [_section(name, function) for name, function in commands]
    return "\n".join(parts)


def commands_of(
    app: typer.Typer, prefix: str
) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every command that can be run, by all its words, with its function."""
    for command in app.registered_commands:
        function = command.callback
        if function is not None and not command.hidden:
            name = command.name or function.__name__.replace("_", "-")
            yield f"{prefix} {name}", function
    for group in app.registered_groups:
        inner = group.typer_instance
        if inner is None or group.hidden:
            continue
        name = f"{prefix} {group.name or inner.info.name}"
        own = inner.registered_callback
        if own is not None and own.callback is not None and own.invoke_without_command:
            yield name, own.callback
        yield from commands_of(inner, name)


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return the arguments and flags of a command, as it declares them."""
    return [
        _parameter(name, each.annotation, each.default)
        for name, each in inspect.signature(function, eval_str=True).parameters.items()
        if typing.get_origin(each.annotation) is typing.Annotated
    ]


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    kind, info = typing.get_args(hint)[:2]
    kind, is_repeated = _plain(kind)
    is_flag = not isinstance(info, typer.models.ArgumentInfo)
    is_required = default is inspect.Parameter.empty
    said = [" ".join((info.help or "").split())]
    if choices := _choices(kind):
        said.append(f"One of {', '.join(f'`{choice}`' for choice in choices)}.")
    said += [f"At least {info.min:g}."] if info.min is not None else []
    said += [f"At most {info.max:g}."] if info.max is not None else []
    if is_repeated and "repeated" not in said[0]:
        said.append("May be repeated.")
    if is_required:
        said.append("Required.")
    elif default not in (None, "") and default is not False and "[" not in said[0]:
        shown = default.value if isinstance(default, enum.Enum) else default
        said.append(f"[default: {'yes' if shown is True else shown}]")
    return Parameter(
        written=_flag(name, kind, info, default)
        if is_flag
        else info.metavar or name.replace("_", "-").upper(),
        meaning=" ".join(each for each in said if each),
        is_flag=is_flag,
        is_required=is_required,
    )


def _flag(name: str, kind: Any, info: Any, default: Any) -> str:
    dashed = name.replace("_", "-")
    # typer keeps the first name it is given where others keep a default.
    names = [each for each in (info.default, *info.param_decls) if _is_name(each)]
    if kind is bool:
        off = f"/--no-{dashed}" if default is True else ""
        return ", ".join(names) or f"--{dashed}{off}"
    value = info.metavar or _TYPES.get(kind, "CHOICE")
    return f"{', '.join(names) or f'--{dashed}'} {value}"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("-")


def _choices(kind: Any) -> list[Any]:
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [each.value for each in kind]
    return []


def _plain(kind: Any) -> tuple[Any, bool]:
    """Return the type of one value, and whether there may be several."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        (kind,) = (each for each in typing.get_args(kind) if each is not type(None))
    if typing.get_origin(kind) is list:
        return typing.get_args(kind)[0], True
    return kind, False


def _paragraphs(function: Callable[..., Any]) -> list[str]:
    told = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in told]


def _section(name: str, function: Callable[..., Any]) -> str:
    declared = parameters(function)
    arguments = [each for each in declared if not each.is_flag]
    needed = [each.written for each in declared if each.is_flag and each.is_required]
    usage = " ".join(
        [
            name,
            *(e.written if e.is_required else f"[{e.written}]" for e in arguments),
            *needed,
            *(["[OPTIONS]"] if any(each.is_flag for each in declared) else []),
        ]
    )
    lines = [f"## {name}", "", "```", usage, "```", ""]
    for paragraph in _paragraphs(function):
        lines += [paragraph, ""]
    if declared:
        rows = [f"| `{e.written}` | {_cell(e.meaning)} |" for e in declared]
        lines += ["| argument or flag | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    for sign in ("|", "<", "*"):
        text = text.replace(sign, f"\\{sign}")
    return text


if __name__ == "__main__":
    from worldweave.cli import app

    print(page(app), end="")
