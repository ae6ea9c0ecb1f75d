"""Find hf:// weights on this machine; nothing is ever downloaded."""

from __future__ import annotations

import os
import shlex
from importlib import import_module
from pathlib import Path

import worldweave

SCHEME = "hf://"
#: Names the folder that holds <org>/<repository>/<file>.
VARIABLE = "WORLDWEAVE_MODELS"


@worldweave.hookimpl
def worldweave_fetch(uri: str) -> Path | None:
    """Return the local file or folder of ``hf://org/repository/path``.

    First <WORLDWEAVE_MODELS>/org/repository/path, the layout the official
    download script makes, then the cache of huggingface_hub. None for other
    schemes. Raise WeightsError that says where to put the file.
    """
    if not uri.startswith(SCHEME):
        return None
    parts = uri.removeprefix(SCHEME).split("/")
    if len(parts) < 2 or not all(parts) or {".", ".."} & set(parts):
        raise worldweave.WeightsError(f"{uri!r} is not hf://org/repository/path")
    found = _find(parts)
    if found is None:
        raise worldweave.WeightsError(_advice(uri, parts))
    return found


def _find(parts: list[str]) -> Path | None:
    own = _own_folder()
    if own is not None and (path := own.joinpath(*parts)).exists():
        return path
    return _in_cache(parts)


def _own_folder() -> Path | None:
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().absolute() if named else None


def _in_cache(parts: list[str]) -> Path | None:
    """Look into the cache of huggingface_hub, if that is installed."""
    try:
        hub = import_module("huggingface_hub")
    except ModuleNotFoundError:
        return None
    repository, inside = "/".join(parts[:2]), "/".join(parts[2:])
    if inside:
        path = hub.try_to_load_from_cache(repository, inside)
        if isinstance(path, str):
            return Path(path)
    # The cache knows files only; a folder of a model has a config.json.
    path = hub.try_to_load_from_cache(repository, "/".join([*parts[2:], "config.json"]))
    return Path(path).parent if isinstance(path, str) else None


def _advice(uri: str, parts: list[str]) -> str:
    """Say in one line what to do to have *uri* here."""
    own = _own_folder()
    if (official := _official(parts)) is not None:
        target = (own or Path("models")).joinpath(*parts)
        setting = "" if own else f" and set {VARIABLE} to models"
        return (
            f"{uri!r} is here only as the official {official}; convert it with: "
            f"worldweave convert {shlex.quote(str(official))} "
            f"{shlex.quote(str(target))}{setting}"
        )
    place = (
        f"set {VARIABLE} to a folder and put it there as {'/'.join(parts)}"
        if own is None
        else f"{VARIABLE} is {own}, so put it at {own.joinpath(*parts)}"
    )
    return (
        f"{uri!r} is not on this machine and nothing is downloaded unasked; "
        f"{place} (docs/cosmos.md has sizes, licences and commands)"
    )


def _official(parts: list[str]) -> Path | None:
    """Return the file the weights are converted from, if it is here."""
    name = Path(parts[-1])
    if name.suffix != ".safetensors":
        return None
    return _find([*parts[:-1], name.with_suffix(".pt").name])
