"""Open an official .pt file; its tensors are read one by one, when asked for."""

from __future__ import annotations

import io
import os
import re
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from worldweave.checkpoints import official
from worldweave.checkpoints.tensor_file import Deferred, Entry, read_tensor
from worldweave_registry.errors import WeightsError

# Start of the data of each record in the archive, and its length.
_Records = Mapping[int, int]


def open_official(path: Path) -> tuple[dict[str, Deferred], tuple[str, ...]]:
    """Return the tensors of an official file, and the keys that carry no weight.

    Files of torch.save are zip archives with the bytes of every tensor in one
    piece; those are read when `Deferred.make` is called. Older and repackaged files
    are read whole. Nothing in the file is ever executed. Raise WeightsError for
    anything but a dict of tensors.
    """
    records = _records(path)
    if records:
        tensors, ignored = _state(path, "meta")
        if all(_is_within(tensor, records) for tensor in tensors.values()):
            return {k: _in_file(path, t) for k, t in tensors.items()}, ignored
    tensors, ignored = _state(path, "cpu")
    return {k: _held(tensor) for k, tensor in tensors.items()}, ignored


def _state(path: Path, device: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    try:
        state = official.unwrap(_load(path, device))
    except WeightsError as error:
        raise WeightsError(f"{path} is not a checkpoint: {error}") from error
    tensors, ignored = {}, []
    for key, value in state.items():
        if official.is_ignored(key):
            ignored.append(key)
        elif isinstance(value, Tensor) and value.layout is torch.strided:
            tensors[key] = value
        else:
            raise WeightsError(
                f"{path} holds a {type(value).__name__} under {key!r}, not a tensor"
            )
    return tensors, tuple(ignored)


def _load(path: Path, device: str) -> object:
    try:
        # Transformer Engine saves `_extra_state` as a BytesIO, which runs no code.
        # An open file, as torch takes a path in .safetensors for what it says.
        with torch.serialization.safe_globals([io.BytesIO]), open(path, "rb") as file:
            return torch.load(file, map_location=device, weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        # A damaged pickle may raise anything, an unsafe one names its culprit.
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it wants to run {culprit[1]}" if culprit else type(error).__name__
        raise WeightsError(
            f"{reason}; expected an official .pt file of plain tensors, complete and "
            "as downloaded"
        ) from error


def _records(path: Path) -> _Records | None:
    """Return where the tensors of *path* lie, None where they are not plain bytes."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            if not start.startswith(b"PK\x03\x04"):
                _refuse_foreign(path, start)
                return None
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                if not _is_native(archive):
                    return None
            stored = [e for e in entries if "/data/" in f"/{e.filename}"]
            if any(e.compress_type != zipfile.ZIP_STORED for e in stored):
                return None
            return {_data_start(file, e): e.file_size for e in stored}
    except (zipfile.BadZipFile, EOFError, struct.error) as error:
        raise WeightsError(
            f"{path} is cut short or damaged: it has {os.path.getsize(path)} bytes; "
            "download it again"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"cannot read {path}: {error.strerror or error}; check the path"
        ) from error


def _refuse_foreign(path: Path, start: bytes) -> None:
    if start.startswith(b"version "):
        raise WeightsError(
            f"{path} is a Git LFS pointer, not the file it points to; run: git lfs pull"
        )
    if start[:1] == b"<":
        raise WeightsError(f"{path} is a web page; log in or accept the licence first")
    if path.suffix == ".safetensors":
        raise WeightsError(f"{path} is safetensors already; give an official .pt file")


def _is_native(archive: zipfile.ZipFile) -> bool:
    """Tell whether numbers are stored in this machine's byte order."""
    orders = [n for n in archive.namelist() if n.rpartition("/")[2] == "byteorder"]
    return all(archive.read(name).decode() == sys.byteorder for name in orders)


def _data_start(file: io.BufferedReader, entry: zipfile.ZipInfo) -> int:
    file.seek(entry.header_offset)
    # The local header has a name and padding of its own, as long as it says.
    name, extra = struct.unpack("<26xHH", file.read(30))
    return int(entry.header_offset + 30 + name + extra)


def _held(tensor: Tensor) -> Deferred:
    return Deferred(
        dtype=tensor.dtype, shape=tuple(tensor.shape), make=lambda: tensor.detach()
    )


def _is_within(tensor: Tensor, records: _Records) -> bool:
    """Tell whether all of *tensor*, on the meta device, lies in one record."""
    end = (tensor.storage_offset() + _span(tensor)) * tensor.dtype.itemsize
    return tensor.numel() == 0 or records.get(_storage_start(tensor), 0) >= end


def _in_file(path: Path, tensor: Tensor) -> Deferred:
    """Defer reading *tensor*, on the meta device, until it is needed."""
    shape, stride = tuple(tensor.shape), tensor.stride()
    offset = int(tensor.storage_offset()) * tensor.dtype.itemsize
    entry = Entry(
        dtype=tensor.dtype,
        shape=(_span(tensor),),
        start=_storage_start(tensor) + offset,
    )

    def read() -> Tensor:
        with open(path, "rb", buffering=0) as file:
            return read_tensor(file, entry).as_strided(shape, stride)

    return Deferred(dtype=tensor.dtype, shape=shape, make=read)


def _storage_start(tensor: Tensor) -> int:
    # Set by torch.load for the meta device (2.11 and 2.13); unknown to its stubs.
    return int(getattr(tensor.untyped_storage(), "_checkpoint_offset", -1))


def _span(tensor: Tensor) -> int:
    """Count the elements from the first to the last of a strided tensor."""
    if tensor.numel() == 0:
        return 0
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return 1 + sum((length - 1) * step for length, step in steps)
