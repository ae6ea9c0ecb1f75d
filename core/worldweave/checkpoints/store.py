"""The store of weights: look at a file, read it, load it strictly, write it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from worldweave.checkpoints import layout, tensor_file
from worldweave.checkpoints.tensor_file import Deferred, Header, StrPath
from worldweave_registry.errors import WeightsError

__all__ = ["Deferred", "Header", "Tensors", "header", "load", "read", "write"]

_OFFICIAL = ("net.", "base_model.", "x_embedder.")


class Tensors(Mapping[str, Tensor]):
    """The tensors of a file, each read when it is asked for, and not kept.

    The file stays open, so replacing it on disk does not disturb a reader.
    """

    def __init__(
        self, path: StrPath, device: torch.device | str, dtype: torch.dtype | None
    ) -> None:
        self.path = Path(path)
        self.header, self._file = tensor_file.open_file(self.path)
        self._device, self._dtype = device, dtype
        weakref.finalize(self, self._file.close)

    def __getitem__(self, name: str) -> Tensor:
        entry = self.header.entries[name]
        try:
            tensor = tensor_file.read_tensor(self._file, entry)
        except EOFError as error:
            raise WeightsError(f"{self.path} was cut while it was read") from error
        dtype = self._dtype if tensor.is_floating_point() else None
        return tensor.to(device=self._device, dtype=dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.header.entries)

    def __len__(self) -> int:
        return len(self.header.entries)


def header(path: StrPath) -> Header:
    """Return what *path* holds without reading any tensor.

    Raise WeightsError where there is no such file, it is cut short, or it is
    something else than safetensors.
    """
    found, file = tensor_file.open_file(Path(path))
    file.close()
    return found


def read(
    path: StrPath,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> Tensors:
    """Return a mapping of the tensors in *path* that reads one when asked for it.

    Floating-point tensors come in *dtype* (None: as stored), all on *device*.
    """
    return Tensors(path, device, dtype)


def write(
    path: StrPath,
    tensors: Mapping[str, Tensor | Deferred],
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Write a safetensors file, one tensor after another, and return its size in bytes.

    The same input gives the same bytes. The file appears only once it is complete.
    Raise WorldweaveError where the disk is full or the place cannot be written.
    """
    with tensor_file.replacing(path) as file:
        return tensor_file.stream(file, tensors, metadata or {})


def load(
    module: nn.Module,
    path: StrPath,
    *,
    device: torch.device | str,
    dtype: torch.dtype | None,
    what: str,
) -> None:
    """Fill *module* with the weights of *path*, in *dtype* (None: as stored).

    The module may be on the meta device. Its parameters are replaced one by one,
    so the peak of memory is the module and one tensor; make the optimiser
    afterwards. *what* names the module in messages ("the branch of edge").

    Raise WeightsError where the file misses a key, has one too many, or one of
    another shape; nothing is loaded then.
    """
    tensors = read(path, device, dtype)
    own = module.state_dict(keep_vars=True)
    wanted = {name: tuple(tensor.shape) for name, tensor in own.items()}
    _check(tensors.header.shapes, wanted, patch=_patch(module), path=path, what=what)
    _check_buffers(module, own, what)
    for name in wanted:
        _assign(module, name, tensors[name])
    # Buffers outside the state dict have stayed where they were.
    module.to(device=device)


def _check(
    found: layout.Shapes,
    wanted: layout.Shapes,
    *,
    patch: layout.Patch,
    path: StrPath,
    what: str,
) -> None:
    misfits = layout.misfits(found, wanted)
    if not misfits:
        return
    if any(name.startswith(_OFFICIAL) for name in found):
        reasons = ["its keys are official ones; run worldweave convert on the .pt file"]
    else:
        reasons = layout.causes(found, wanted, patch)
    details = layout.shorten(misfits)
    raise WeightsError(f"{path} does not fit {what}: {'; '.join([*reasons, details])}")


def _check_buffers(module: nn.Module, own: Mapping[str, Tensor], what: str) -> None:
    for name, buffer in module.named_buffers():
        if buffer.is_meta and name not in own:
            raise WeightsError(
                f"{what} keeps buffer {name!r} out of its state dict, so nothing "
                "fills it on the meta device; make it persistent or compute it "
                "in forward"
            )


def _patch(module: nn.Module) -> layout.Patch:
    config = getattr(module, "config", None)
    patch: layout.Patch = getattr(config, "patch", layout.COSMOS_PATCH)
    return patch


def _assign(module: nn.Module, name: str, tensor: Tensor) -> None:
    owner_name, _, leaf = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    old = getattr(owner, leaf)
    if isinstance(old, nn.Parameter):
        tensor = nn.Parameter(tensor, requires_grad=old.requires_grad)
    setattr(owner, leaf, tensor)
