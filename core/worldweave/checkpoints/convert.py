"""Turn official Cosmos-Transfer1 .pt files into ours, one tensor at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import torch
from torch import Tensor

from worldweave.checkpoints import layout, official, pickled, tensor_file
from worldweave.checkpoints.layout import Kind
from worldweave.checkpoints.tensor_file import Deferred, StrPath
from worldweave_registry.errors import WeightsError, WorldweaveError

#: Raised whenever our names or their meaning change.
FORMAT_VERSION = "1"

#: Called with bytes done and bytes in all.
Progress = Callable[[int, int], None]


@attrs.frozen(kw_only=True)
class Written:
    """One network that was written."""

    path: Path
    kind: Kind
    parameters: int
    dtypes: tuple[str, ...]
    nbytes: int
    config: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Report:
    """What a conversion did. `ignored` are keys of the source without weights."""

    source: Path
    sha256: str
    written: tuple[Written, ...]
    ignored: tuple[str, ...]
    seconds: float


def convert(
    source: StrPath,
    out: StrPath,
    dtype: torch.dtype | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write the network in *source* to *out*, in *dtype* (None: as it is).

    A distilled or training file holds a DiT and a branch: OUT.dit.safetensors and
    OUT.branch.safetensors are written instead, both or none. The metadata of each
    file names its kind, source, sha256 of the source, format version and config.
    Memory: the largest tensor, twice where the dtype changes.

    Raise WeightsError for an unknown, missing or misshaped key, WorldweaveError
    where *out* exists or cannot be written.
    """
    started = time.monotonic()
    source, out = Path(source), Path(out)
    tensors, ignored = pickled.open_official(source)
    try:
        networks = [_network(part, tensors) for part in official.parts(tensors)]
    except WeightsError as error:
        raise WeightsError(f"cannot convert {source}: {error}") from error
    paths = [_target(out, n.kind, alone=len(networks) == 1) for n in networks]
    _refuse_existing(paths, source, overwrite)
    digest = _sha256(source)
    prepare = _preparation(networks, dtype, progress)
    # Both files of a pair are complete before either appears.
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tensor_file.replacing(path)) for path in paths]
        written = [
            _write(network, file, path, prepare, _metadata(network, source, digest))
            for network, file, path in zip(networks, files, paths, strict=True)
        ]
    return Report(
        source=source,
        sha256=digest,
        written=tuple(written),
        ignored=ignored,
        seconds=time.monotonic() - started,
    )


@attrs.frozen(kw_only=True)
class _Network:
    """One network of the source, its tensors by our names."""

    kind: Kind
    tensors: Mapping[str, Deferred]
    config: Mapping[str, Any]


def _network(part: official.Part, tensors: Mapping[str, Deferred]) -> _Network:
    """Infer the sizes of a network and hold every key against them."""
    shapes = {name: tensors[key].shape for name, key in part.keys.items()}
    absent = [n for n in layout.revealing(part.kind) if n not in shapes]
    if absent:
        raise WeightsError(layout.shorten([_missing(name) for name in absent]))
    config = layout.infer_config(shapes)
    wanted = layout.expected_shapes(part.kind, layout.complete(config))
    problems = [_missing(name) for name in wanted if name not in shapes]
    problems += [
        f"{key!r} does not belong to a {part.kind} with these sizes"
        for name, key in part.keys.items()
        if name not in wanted
    ]
    problems += [
        f"{key!r} is {shapes[name]}, expected {wanted[name]}"
        for name, key in part.keys.items()
        if name in wanted and shapes[name] != wanted[name]
    ]
    if problems:
        raise WeightsError(layout.shorten(problems))
    chosen = {name: tensors[key] for name, key in part.keys.items()}
    return _Network(kind=part.kind, tensors=chosen, config=config)


def _missing(name: str) -> str:
    return f"{official.official_name(name)!r} is missing"


def _target(out: Path, kind: Kind, *, alone: bool) -> Path:
    if out.suffix != ".safetensors":
        raise WorldweaveError(f"{out} should end in .safetensors, the format written")
    return out if alone else out.with_suffix(f".{kind}.safetensors")


def _refuse_existing(paths: list[Path], source: Path, overwrite: bool) -> None:
    for path in paths:
        if path.exists() and path.samefile(source):
            raise WorldweaveError(f"{path} is the file to convert; give another name")
        if path.exists() and not overwrite:
            raise WorldweaveError(f"{path} exists; remove it or use --force")


def _preparation(
    networks: Sequence[_Network], dtype: torch.dtype | None, progress: Progress | None
) -> Callable[[Deferred], Deferred]:
    """Return what casts a tensor once it is read, and reports that it was."""
    total = sum(_nbytes(item) for n in networks for item in n.tensors.values())
    done = 0

    def prepare(item: Deferred) -> Deferred:
        target = dtype if dtype and item.dtype.is_floating_point else item.dtype

        def make() -> Tensor:
            nonlocal done
            tensor = item.make().to(target)
            done += _nbytes(item)
            if progress is not None:
                progress(done, total)
            return tensor

        return attrs.evolve(item, dtype=target, make=make)

    return prepare


def _metadata(network: _Network, source: Path, digest: str) -> dict[str, str]:
    return {
        "kind": network.kind,
        "source": source.name,
        "source_sha256": digest,
        "format": FORMAT_VERSION,
        "config": json.dumps(layout.in_field_order(network.config)),
    }


def _write(
    network: _Network,
    file: BinaryIO,
    path: Path,
    prepare: Callable[[Deferred], Deferred],
    metadata: Mapping[str, str],
) -> Written:
    items = {name: prepare(item) for name, item in network.tensors.items()}
    dtypes = {str(item.dtype).removeprefix("torch.") for item in items.values()}
    return Written(
        path=path,
        kind=network.kind,
        parameters=sum(math.prod(item.shape) for item in items.values()),
        dtypes=tuple(sorted(dtypes)),
        nbytes=tensor_file.stream(file, items, metadata),
        config=network.config,
    )


def _nbytes(item: Deferred) -> int:
    return math.prod(item.shape) * item.dtype.itemsize


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()
