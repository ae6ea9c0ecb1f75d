"""The safetensors format: where tensors lie in a file, and writing one safely."""

# The format, https://github.com/huggingface/safetensors: 8 bytes with the length of
# the header, the header in JSON, then the tensors without gaps. Plain file reads
# rather than the library's memory maps: a mapped file counts as memory of the
# process (the peak doubles) and changing it on disk changes a loaded model.

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import attrs
import torch
from torch import Tensor

from worldweave.io.files import atomic_path, free_space_check
from worldweave_registry.errors import WeightsError

Shape = tuple[int, ...]
StrPath: TypeAlias = "str | os.PathLike[str]"

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# The limit of the reference implementation; 600 tensors take about 60 kB.
_LONGEST_HEADER = 100_000_000
_ALIGNMENT = 8


@attrs.frozen(kw_only=True)
class Entry:
    """Where one tensor lies: `start` counts bytes from the beginning of the file."""

    dtype: torch.dtype
    shape: Shape
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


@attrs.frozen(kw_only=True)
class Header:
    """What a file says about its tensors."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shape of every tensor."""
        return {name: entry.shape for name, entry in self.entries.items()}

    @property
    def dtypes(self) -> dict[str, torch.dtype]:
        """Dtype of every tensor."""
        return {name: entry.dtype for name, entry in self.entries.items()}


@attrs.frozen(kw_only=True)
class Deferred:
    """A tensor that is made when its turn to be written comes."""

    dtype: torch.dtype
    shape: Shape
    make: Callable[[], Tensor]


def stream(
    file: BinaryIO,
    tensors: Mapping[str, Tensor | Deferred],
    metadata: Mapping[str, str],
) -> int:
    """Write a safetensors file to an open one and return its size in bytes."""
    # Wide types first keep every tensor aligned, as in the reference writer.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    described: dict[str, Any] = {}
    if metadata:
        described["__metadata__"] = dict(sorted(metadata.items()))
    end = 0
    for name in order:
        item = tensors[name]
        start, end = end, end + math.prod(item.shape) * item.dtype.itemsize
        described[name] = {
            "dtype": _dtype_name(name, item.dtype),
            "shape": list(item.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    size = 8 + len(text) + end
    free_space_check(Path(file.name).parent, size)
    file.write(struct.pack("<Q", len(text)) + text)
    for name in order:
        _write_tensor(file, name, tensors[name])
    return size


@contextlib.contextmanager
def replacing(path: StrPath) -> Iterator[BinaryIO]:
    """Open a temporary file that becomes *path* at the end, or vanishes on any error.

    Raise WorldweaveError where the disk is full or the place cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file
        file.flush()
        # Otherwise a crash of the machine may leave an empty file of that name.
        os.fsync(file.fileno())


def read_tensor(file: FileIO | BinaryIO, entry: Entry) -> Tensor:
    """Read one contiguous tensor. Raise EOFError where the file ends early."""
    tensor = torch.empty(entry.shape, dtype=entry.dtype)
    room = memoryview(_bytes_of(tensor))
    file.seek(entry.start)
    filled = 0
    while filled < len(room):
        # A single read stops at 2 GiB on Linux.
        count = file.readinto(room[filled:])  # type: ignore[union-attr]
        if not count:
            raise EOFError(f"{len(room) - filled} bytes are missing at the end")
        filled += count
    return tensor


def open_file(path: Path) -> tuple[Header, FileIO]:
    try:
        file = FileIO(path)
    except OSError as error:
        reason = error.strerror or error
        raise WeightsError(
            f"cannot read weights {path}: {reason}; check the path"
        ) from error
    try:
        return _parse(path, file), file
    except BaseException:
        file.close()
        raise


def _parse(path: Path, file: FileIO) -> Header:
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if length > min(size, _LONGEST_HEADER) or length < 2:
        # A good header that is cut off still starts like one.
        begun = 2 <= length <= _LONGEST_HEADER and file.read(2).startswith(b'{"')
        raise _truncated(path, size) if begun else _foreign(path, start)
    text = file.read(length)
    if len(text) < length:
        raise _truncated(path, size)
    try:
        described = json.loads(text)
        metadata = described.pop("__metadata__", {})
        entries = {
            str(name): Entry(
                dtype=DTYPES[about["dtype"]],
                shape=tuple(map(int, about["shape"])),
                start=8 + length + int(about["data_offsets"][0]),
            )
            for name, about in described.items()
        }
        ends = [8 + length + int(d["data_offsets"][1]) for d in described.values()]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _foreign(path, start) from error
    wrong = [
        name
        for (name, entry), end in zip(entries.items(), ends, strict=True)
        if entry.start + entry.nbytes != end or entry.start < 8 + length
    ]
    if wrong:
        raise WeightsError(
            f"{path} contradicts itself about {wrong[0]}; it is damaged, get it again"
        )
    if max(ends, default=0) > size:
        raise _truncated(path, size, max(ends))
    return Header(entries=entries, metadata=metadata)


def _truncated(path: Path, size: int, expected: int | None = None) -> WeightsError:
    of = "" if expected is None else f" of {expected}"
    return WeightsError(
        f"{path} is cut short: it has {size}{of} bytes; download or write it again"
    )


def _foreign(path: Path, start: bytes) -> WeightsError:
    # A zip archive or a bare pickle: what torch.save has written over the years.
    if start.startswith((b"PK\x03\x04", b"\x80\x02")):
        return WeightsError(
            f"{path} is a PyTorch file, not ours; "
            f"run: worldweave convert {path} {path.with_suffix('.safetensors')}"
        )
    if start.startswith(b"version "):
        return WeightsError(
            f"{path} is a Git LFS pointer, not the file it points to; run: git lfs pull"
        )
    return WeightsError(f"{path} is not a safetensors file")


def _dtype_name(name: str, dtype: torch.dtype) -> str:
    if dtype not in _NAMES:
        known = ", ".join(str(d).removeprefix("torch.") for d in _NAMES)
        raise WeightsError(
            f"{name} is {dtype}, which cannot be stored; use one of {known}"
        )
    return _NAMES[dtype]


def _write_tensor(file: BinaryIO, name: str, item: Tensor | Deferred) -> None:
    tensor = item.make() if isinstance(item, Deferred) else item
    if tensor.shape != item.shape or tensor.dtype != item.dtype:
        raise WeightsError(
            f"{name} was announced as {item.dtype} {tuple(item.shape)} but is "
            f"{tensor.dtype} {tuple(tensor.shape)}"
        )
    file.write(memoryview(_bytes_of(tensor.detach().cpu().contiguous())))


def _bytes_of(tensor: Tensor) -> Any:
    return tensor.reshape(-1).view(torch.uint8).numpy()
