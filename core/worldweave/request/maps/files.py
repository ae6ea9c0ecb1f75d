"""Read a map from a picture, a video or an array, whatever it was saved as."""

# T H W frames, rows, columns

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worldweave.base import Frames
from worldweave.checkpoints import store
from worldweave.io import video as video_io
from worldweave.request.sources import MapArray
from worldweave_registry import WorldweaveError, one_line

_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
#: Named one by one, as FFmpeg also makes a video of words: it draws a .txt file.
_VIDEOS = {
    *("", ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".gif", ".avi", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".wmv", ".flv", ".ogv", ".3gp", ".y4m"),
}
_READABLE = "png, jpg, mp4, npy, npz, safetensors or pt"
_LUMA = np.array([0.299, 0.587, 0.114])
#: The luma of white is a rounding error above one.
_ROUNDING = 1e-5


@attrs.frozen(kw_only=True)
class MapFile:
    """Values float32 (T, H, W) in 0..1; fps: None where the file has no rate."""

    values: MapArray = attrs.field(eq=attrs.cmp_using(eq=np.array_equal), repr=False)
    fps: Fraction | None


def read_map_file(path: Path | str, *, what: str) -> MapFile:
    """Read a map.

    Pictures and videos: luma / 255 (/ 65535 of 16 bits), transparency ignored.
    .npy, .npz, .safetensors, .pt: what `as_values` takes; a file of several arrays
    needs one called "map". *what* names the map in messages ("map of 'edge'").
    Raise WorldweaveError for a file that is missing, damaged or something else, and
    for values that do not fit. Nothing in the file is executed.
    """
    file = Path(path)
    _refuse_no_file(file, what)
    suffix = file.suffix.lower()
    if suffix in _PICTURES:
        return MapFile(values=_read_picture(file, what)[None], fps=None)
    if suffix in _VIDEOS:
        return _read_video(file, what)
    if suffix not in _ARRAYS:
        raise WorldweaveError(
            f"{what}: {str(file)!r} is no picture, video or array by its name; "
            f"give {_READABLE}"
        )
    try:
        array = _ARRAYS[suffix](file)
    except WorldweaveError as error:
        raise WorldweaveError(f"{what}: {error}") from error
    # A damaged file may raise anything.
    except Exception as error:
        raise WorldweaveError(
            f"{what}: {file} cannot be read as {suffix} ({_reason(error)}); "
            "save it again, as a plain array of numbers"
        ) from error
    values = as_values(array, f"{what} from {file}", is_ours=True)
    return MapFile(values=values, fps=None)


def as_values(array: object, what: str, *, is_ours: bool = False) -> MapArray:
    """Return an array or tensor as a map float32 (T, H, W) in 0..1.

    (H, W) is one picture; of four axes the channel's, or else the first, must be one
    long. Floats are 0..1, uint8 0..255, booleans 0 and 1. *is_ours*: it may be written
    into, so that a large file is in memory once. Raise WorldweaveError for anything
    else, and for a value outside, with the place of the first.
    """
    stored = _as_array(array, what)
    values = _three_axes(stored)
    if values is None:
        colour = stored.ndim == 4 and stored.shape[3] in (3, 4)
        also = "; this looks like colour, so keep one channel" if colour else ""
        raise WorldweaveError(
            f"{what} has shape {stored.shape}; give (H, W) or (T, H, W){also}"
        )
    if values.dtype == np.uint8:
        return _by_255(values)
    if values.dtype == np.bool_:
        return values.astype(np.float32)
    if values.dtype.kind != "f":
        raise WorldweaveError(
            f"{what} holds {values.dtype}; give floats in 0..1 or uint8 in 0..255"
        )
    refuse_outside(values, what)
    single = values.astype(np.float32, copy=not (is_ours and values.flags.writeable))
    return np.clip(single, 0.0, 1.0, out=single)


def _by_255(values: npt.NDArray[np.uint8]) -> MapArray:
    """Return bytes as 0..1, with one copy and not two."""
    single = values.astype(np.float32)
    single /= np.float32(255.0)
    return single


def refuse_outside(values: npt.NDArray[Any], what: str) -> None:
    """Raise WorldweaveError unless all *values* (T, H, W) lie in 0..1.

    Five millionths above one are forgiven.
    """
    # Two numbers instead of an array of booleans, as this is true of most maps.
    if values.min() >= 0.0 and values.max() <= 1.0 + _ROUNDING:
        return
    fits = (values >= 0.0) & (values <= 1.0 + _ROUNDING)
    first = np.unravel_index(int(np.argmin(fits)), values.shape)
    low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    frame, row, column = (int(at) for at in first)
    raise WorldweaveError(
        f"{what} holds values from {low:g} to {high:g}; they must lie in 0..1, but "
        f"{fits.size - int(fits.sum())} of {fits.size} do not, the first is "
        f"{values[first]:g} at frame {frame}, row {row}, column {column}"
    )


def _refuse_no_file(file: Path, what: str) -> None:
    try:
        status = file.stat()
    except FileNotFoundError:
        raise WorldweaveError(
            f"{what}: there is no file {str(file)!r}; check the path"
        ) from None
    except (OSError, ValueError) as error:
        raise WorldweaveError(
            f"{what}: cannot read {str(file)!r} ({one_line(error)}); check the path"
        ) from error
    if stat.S_ISDIR(status.st_mode):
        trouble = f"is a folder; check the path and give one file: {_READABLE}"
    elif not stat.S_ISREG(status.st_mode):
        trouble = f"is not a regular file; give {_READABLE}"
    elif status.st_size == 0:
        trouble = "is empty; make or copy it again"
    else:
        return
    raise WorldweaveError(f"{what}: {str(file)!r} {trouble}")


def _read_picture(file: Path, what: str) -> MapArray:
    """Return (H, W), upright as a photo's EXIF asks."""
    try:
        stored = np.fromfile(file, np.uint8)
        picture = cv2.imdecode(stored, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except (OSError, cv2.error) as error:
        raise WorldweaveError(f"{what}: cannot read {file}: {error}") from error
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise WorldweaveError(
            f"{what}: cannot read {file}: it is cut short or not an image of 8 or 16 "
            "bits; save it again"
        )
    full = 255 if picture.dtype == np.uint8 else 65535
    luma = picture @ (_LUMA[::-1] / full)
    return luma.astype(np.float32).clip(0.0, 1.0)


def _read_video(file: Path, what: str) -> MapFile:
    try:
        video = video_io.read(file, fit=_luma_of_frames)
    except WorldweaveError as error:
        raise WorldweaveError(f"{what}: {error}") from error
    grey = video.frames[..., 0]
    return MapFile(values=_by_255(grey), fps=video.fps)


def _luma_of_frames(frames: Frames) -> Frames:
    """Return (T, H, W, 1): one byte per pixel is all that is kept of a video."""
    luma: Frames = np.rint(frames @ _LUMA).astype(np.uint8)
    return luma[..., None]


def _read_npy(file: Path) -> object:
    with open(file, "rb") as stored:
        return np.lib.format.read_array(stored, allow_pickle=False)


def _read_npz(file: Path) -> object:
    with open(file, "rb") as stored:
        arrays = np.load(stored, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it is not a zip of arrays")
        with arrays:
            return _the_map(arrays, file)


def _read_safetensors(file: Path) -> object:
    return _the_map(store.read(file), file)


def _read_pt(file: Path) -> object:
    with open(file, "rb") as stored:
        saved = torch.load(stored, map_location="cpu", weights_only=True)
    return _the_map(saved, file) if isinstance(saved, Mapping) else saved


_ARRAYS: dict[str, Callable[[Path], object]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pt": _read_pt,
    ".pth": _read_pt,
}


def _the_map(arrays: Mapping[Any, object], file: Path) -> object:
    names = list(arrays)
    if "map" in names:
        return arrays["map"]
    if len(names) == 1:
        return arrays[names[0]]
    shown = ", ".join(str(name) for name in names[:5]) or "none"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    raise WorldweaveError(
        f"{file} holds {len(names)} arrays ({shown}{more}); keep one, or call the "
        "one that is meant 'map'"
    )


def _as_array(array: object, what: str) -> npt.NDArray[Any]:
    if isinstance(array, Tensor):
        if array.layout is not torch.strided or array.is_complex() or array.is_meta:
            raise WorldweaveError(
                f"{what} is a tensor of {array.dtype} and {array.layout}; "
                "give a dense one of floats in 0..1 or uint8 in 0..255"
            )
        is_small = array.is_floating_point() and array.dtype != torch.float64
        plain = array.detach().cpu()
        # NumPy knows no bfloat16.
        return (plain.float() if is_small else plain).numpy()
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    raise WorldweaveError(
        f"{what} is a {type(array).__name__}; give an array of floats in 0..1 or "
        "uint8 in 0..255"
    )


def _three_axes(array: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Return (T, H, W), or None where the axes cannot be meant so."""
    if 0 in array.shape:
        return None
    if array.ndim == 2:
        return array[None]
    if array.ndim == 4:
        # A channel is more usual than a batch: (1, H, W, 1) is one picture.
        axis = next((at for at in (3, 1, 0) if array.shape[at] == 1), None)
        return None if axis is None else array.squeeze(axis)
    return array if array.ndim == 3 else None


def _reason(error: Exception) -> str:
    culprit = re.search(r"GLOBAL (\S+)", str(error))
    if culprit:
        return f"it wants to run {culprit[1]}"
    return one_line(error) if len(str(error)) < 200 else type(error).__name__
