"""Turn the address of a checkpoint into a local file, and check that file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from worldweave_registry.errors import (
    LicenseError,
    PluginError,
    WeightsError,
    let_interrupts_pass,
)
from worldweave_registry.licenses import Allowed
from worldweave_registry.modality import Weights
from worldweave_registry.wording import one_line

# Two letters at least: one letter and a colon is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)")
_BLOCK = 1 << 20
_MAYBE_FOLDERS = ("autoencoder", "text_encoder")  # as the hubs keep them


class Fetcher(Protocol):
    """What `resolve` needs of the hooks: `Catalog.hook` has it."""

    @property
    def allowed(self) -> Allowed | None:
        """The licences of weights that may be used; None: any."""

    def worldweave_fetch(self, *, uri: str) -> Path | None:
        """Return a local file for *uri*, or None."""


def resolve(weights: Weights, hook: Fetcher | None = None) -> Path:
    """Return the local file that holds *weights*, its checksum verified.

    A path and ``file:`` name a file, ``package:import_package/path`` a file
    shipped in an installed package; any other address goes to the
    ``worldweave_fetch`` hook. Nothing is downloaded here. Raises WeightsError
    if nothing answers, the file is missing or its checksum is wrong, LicenseError
    if *hook* does not allow its licence. An autoencoder or text encoder without a
    checksum may also be a folder.
    """
    path = locate(weights, hook)
    if wrong := absence(weights, path):
        raise WeightsError(wrong)
    if weights.sha256 is not None:
        _verify(path, weights)
    return path


def absence(weights: Weights, path: Path) -> str:
    """Return in one line why *path* cannot hold *weights*; nothing where it may.

    Its checksum is not looked at.
    """
    if not path.exists():
        shipped = _is_shipped(weights.uri)
        return f"{weights.uri!r} is missing: there is no file {str(path)!r}; " + (
            "reinstall the package" if shipped else "check the path"
        )
    if path.is_dir() and (weights.part not in _MAYBE_FOLDERS or weights.sha256):
        return f"{str(path)!r} is a folder; give a file in it"
    return ""


def is_local(uri: str) -> bool:
    """Whether *uri* names a file here, so that no plugin has to fetch it."""
    match = _SCHEME.fullmatch(uri)
    return match is None or match[1].lower() in ("file", "package")


def _is_shipped(uri: str) -> bool:
    return uri.lower().startswith("package:")


def locate(weights: Weights, hook: Fetcher | None = None) -> Path:
    """Return where *weights* should lie; whether they do, and whole, is not looked at.

    Raises WeightsError where nothing knows the address, LicenseError where *hook*
    does not allow the licence.
    """
    if hook is not None and (refusal := weights_refusal(weights, hook.allowed)):
        raise LicenseError(refusal)
    match = _SCHEME.fullmatch(weights.uri)
    if match is None:
        return Path(os.path.expanduser(weights.uri))
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        return _from_file(weights.uri, rest)
    if scheme == "package":
        return _from_package(weights.uri, rest)
    return _from_hook(weights, hook)


def weights_refusal(weights: Weights, allowed: Allowed | None) -> str:
    """Return why the licence of *weights* is not allowed, or nothing."""
    outside = allowed.refusal(weights.license) if allowed is not None else ""
    return outside and (
        f"weights {weights.uri!r} ({weights.part} for {weights.base!r}): {outside}; "
        "allow that too, or use other weights"
    )


def _from_file(uri: str, rest: str) -> Path:
    """Read ``file:relative``, ``file:/absolute`` and ``file:///absolute``."""
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost") or not slash:
            raise WeightsError(
                f"{uri!r} names the host {host!r}; a local file is written "
                "file:///absolute/path or file:relative/path"
            )
        rest = f"/{path}"
    return Path(unquote(rest))


def _from_package(uri: str, rest: str) -> Path:
    package, _, inside = rest.partition("/")
    parts = inside.split("/")
    if not package or not inside or ".." in parts:
        raise WeightsError(
            f"{uri!r} is not package:import_package/path/inside/the/package"
        )
    from importlib import resources  # slow to import, seldom needed

    try:
        found = resources.files(package)
        for part in parts:
            found = found.joinpath(part)
    except BaseException as error:
        let_interrupts_pass(error)
        raise WeightsError(
            f"{uri!r} lies in a package that cannot be imported: {one_line(error)}; "
            "install or reinstall it"
        ) from error
    if not isinstance(found, Path):
        raise WeightsError(
            f"{uri!r} lies in a package that is not unpacked on disk; "
            "install it with pip"
        )
    return found


def _from_hook(weights: Weights, hook: Fetcher | None) -> Path:
    try:
        path = None if hook is None else hook.worldweave_fetch(uri=weights.uri)
    except PluginError as error:
        raise WeightsError(f"cannot fetch {weights.uri!r}: {error}") from error
    except LicenseError as error:
        raise LicenseError(f"cannot fetch {weights.uri!r}: {error}") from error
    if path is None:
        size = "" if weights.bytes is None else f", {_readable(weights.bytes)}"
        raise WeightsError(
            f"no plugin fetches {weights.uri!r} (licence {weights.license}{size}) and "
            "nothing is downloaded unasked; get the file and give its path, or "
            "install a plugin that implements worldweave_fetch"
        )
    return path


def _readable(size: int) -> str:
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def _verify(path: Path, weights: Weights) -> None:
    """Compare the file with its checksum, reading a block at a time."""
    import hashlib  # slow to import, seldom needed

    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise WeightsError(f"cannot read {str(path)!r}: {one_line(error)}") from error
    if digest.hexdigest() != weights.sha256:
        shipped = _is_shipped(weights.uri)
        raise WeightsError(
            f"{str(path)!r} is damaged or another file: its sha256 is "
            f"{digest.hexdigest()}, expected {weights.sha256}; "
            + ("reinstall the package" if shipped else "delete it and fetch it again")
        )
