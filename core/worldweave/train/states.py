"""Saved states of a training: in small files, checked, the one before kept."""

# FOLDER/states/00000250/   one complete state, named by its step
#     part-001.safetensors  tensors, at most 16 MB a file; a larger tensor in pieces
#     index.json            size and SHA-256 of every part, notes, its own SHA-256
# FOLDER/states/.writing    a state that is being written
# FOLDER/states/*.damaged   a state that cannot be read, until the next one is saved

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from worldweave.checkpoints import store
from worldweave.io.files import readable_size, sha256
from worldweave_registry import WeightsError, WorldweaveError

PLACE = "states"
INDEX = "index.json"
#: Bytes of the largest file of a state.
LARGEST = 16_000_000
#: States that are kept: the newest, and the one it is replaced by if it is damaged.
KEPT = 2
# A part's header: its beginning, and one entry besides the tensor's name.
_HEADER = 256
_ENTRY = 128
_WRITING = ".writing"
_DAMAGED = ".damaged"


@attrs.frozen(kw_only=True, eq=False)
class State:
    """One complete state, checked when it was opened; tensors are read on demand."""

    folder: Path
    step: int
    notes: Mapping[str, str]
    files: Mapping[str, tuple[str, ...]]
    """Name of each tensor, and the files that hold it, piece after piece."""

    def read(self, name: str, like: Tensor) -> Tensor:
        """Return a tensor in the shape of *like* and on its device."""
        pieces = [
            store.read(self.folder / file)[name].reshape(-1)
            for file in self.files[name]
        ]
        return torch.cat(pieces).view(like.shape).to(like.device)


@attrs.frozen
class States:
    """The saved states of the training in *folder*."""

    folder: Path
    largest: int = LARGEST

    @property
    def place(self) -> Path:
        """The folder with one folder for each state."""
        return self.folder / PLACE

    def steps(self) -> list[int]:
        """Return the steps of which there is a state, newest first."""
        if not self.place.is_dir():
            return []
        names = [found.name for found in self.place.iterdir()]
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def save(
        self, step: int, tensors: Mapping[str, Tensor], notes: Mapping[str, str]
    ) -> None:
        """Write a state; those before are kept until this one is complete.

        Raise WorldweaveError where there is no room for it; nothing is lost then.
        """
        if self._has(step, notes):
            return
        need = sum(t.numel() * t.itemsize for t in tensors.values())
        writing = self.place / _WRITING
        try:
            shutil.rmtree(writing, ignore_errors=True)
            self.check_space(need)
            writing.mkdir(parents=True)
            files = [
                _write_part(writing / f"part-{number:03}.safetensors", part)
                for number, part in enumerate(_parts(tensors, self.largest), 1)
            ]
            _write_index(writing, {"step": step, "notes": {**notes}, "files": files})
            os.replace(writing, self._of(step))
        except (OSError, WorldweaveError) as error:
            shutil.rmtree(writing, ignore_errors=True)
            raise self._cannot_save(step, need, error) from error
        except BaseException:
            shutil.rmtree(writing, ignore_errors=True)
            raise
        self._forget_old()

    def check_space(self, need: int) -> None:
        """Raise WorldweaveError unless the disk has room for *need* bytes."""
        free = self._free()
        if free < need:
            raise WorldweaveError(
                f"{self.folder} needs {readable_size(need)} for the state of the "
                f"training and has {readable_size(free)} free; free some space or "
                "choose another --out folder"
            )

    def open(self, step: int) -> State:
        """Read and check the state of *step*; raise WeightsError if it is damaged."""
        folder = self._of(step)
        try:
            index = json.loads((folder / INDEX).read_text())
            digest = index.pop("sha256")
            if digest != _digest(index) or index["step"] != step:
                raise ValueError(f"{INDEX} is not what was written")
            for file in index["files"]:
                _check(folder / file["name"], file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"{folder} is damaged ({error})") from error
        files: dict[str, tuple[str, ...]] = {}
        for file in index["files"]:
            for name in file["tensors"]:
                files[name] = (*files.get(name, ()), file["name"])
        return State(folder=folder, step=step, notes=index["notes"], files=files)

    def set_aside(self, step: int) -> None:
        """Rename a state that cannot be used, so that it is not the newest any more."""
        folder = self._of(step)
        aside = folder.with_name(folder.name + _DAMAGED)
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(folder, aside)

    def _of(self, step: int) -> Path:
        return self.place / f"{step:08}"

    def _has(self, step: int, notes: Mapping[str, str]) -> bool:
        """Tell whether this very state is there, and clear its place if it is not.

        A training is exact, so two states of the same step are the same.
        """
        if step not in self.steps():
            return False
        try:
            if self.open(step).notes == notes:
                return True
        except WeightsError:
            pass
        self.set_aside(step)
        return False

    def _forget_old(self) -> None:
        old = [self._of(step) for step in self.steps()[KEPT:]]
        for folder in [*old, *self.place.glob(f"*{_DAMAGED}")]:
            shutil.rmtree(folder, ignore_errors=True)

    def _free(self) -> int:
        place = self.folder.absolute()
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def _cannot_save(self, step: int, need: int, error: Exception) -> WorldweaveError:
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = ""
        remedy = "free some space"
        if isinstance(cause, OSError):
            reason = f" ({cause.strerror})"
            if cause.errno not in (errno.ENOSPC, errno.EDQUOT):
                remedy = "mend that"
        steps = self.steps()
        kept = f"the state of step {steps[0]} is still there" if steps else "none was"
        return WorldweaveError(
            f"cannot save step {step} in {self.folder}{reason}: it takes "
            f"{readable_size(need)} and {readable_size(self._free())} are free; "
            f"{kept}; {remedy} and run the same command"
        )


def _parts(tensors: Mapping[str, Tensor], largest: int) -> Iterator[dict[str, Tensor]]:
    """Share tensors out to files in their order; cut those that no file can hold."""
    part: dict[str, Tensor] = {}
    used = _HEADER
    for name, tensor in tensors.items():
        rest = tensor.detach().reshape(-1)
        entry = _ENTRY + len(name.encode())
        while True:
            size = entry + rest.numel() * rest.itemsize
            if used + size <= largest:
                part[name] = rest
                used += size
                break
            if not part:
                count = (largest - used - entry) // rest.itemsize
                yield {name: rest[:count]}
                rest = rest[count:]
                continue
            yield part
            part, used = {}, _HEADER
    yield part


def _write_part(path: Path, part: Mapping[str, Tensor]) -> dict[str, Any]:
    size = store.write(path, part)
    return {
        "name": path.name,
        "bytes": size,
        "sha256": sha256(path),
        "tensors": sorted(part),
    }


def _write_index(folder: Path, index: dict[str, Any]) -> None:
    text = json.dumps({**index, "sha256": _digest(index)}, indent=1)
    with open(folder / INDEX, "w") as file:
        file.write(text)
        file.flush()
        # Otherwise a crash of the machine may leave an empty file of that name.
        os.fsync(file.fileno())


def _digest(index: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def _check(path: Path, about: Mapping[str, Any]) -> None:
    size = path.stat().st_size
    if size != about["bytes"]:
        raise ValueError(f"{path.name} has {size} of {about['bytes']} bytes")
    if sha256(path) != about["sha256"]:
        raise ValueError(f"{path.name} has another checksum than when it was written")
