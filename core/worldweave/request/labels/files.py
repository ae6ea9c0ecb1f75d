"""Label pictures from files: videos, images, folders of images, arrays."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import cv2
import numpy as np
import numpy.typing as npt

from worldweave.io import video
from worldweave_registry import WorldweaveError

#: Numbers (H, W), or colours uint8 (H, W, 3) or, with alpha, (H, W, 4).
Picture: TypeAlias = "npt.NDArray[Any]"

_EXACT_IMAGES = {".png", ".bmp", ".tif", ".tiff"}
_ARRAYS = {".npy", ".npz"}


@attrs.frozen(kw_only=True)
class Source:
    """The pictures of a label video, to be taken once, and what is known of them.

    count: how many; fps: their rate, None where the file has none; is_exact: False
    where compression may have changed colours.
    """

    pictures: Iterator[Picture]
    count: int
    fps: Fraction | None
    is_exact: bool


def read_source(file: Path) -> Source:
    """Open a video, an image, a folder of PNGs in natural order, a .npy or .npz."""
    if file.is_dir():
        return from_images(sorted(pngs(file), key=_natural))
    suffix = file.suffix.lower()
    if suffix in _EXACT_IMAGES:
        return from_images([file])
    if suffix in _ARRAYS:
        pictures = _read_array(file)
        return Source(
            pictures=iter(pictures), count=len(pictures), fps=None, is_exact=True
        )
    film = video.read(file)
    fps = None if len(film.frames) == 1 else film.fps
    return Source(
        pictures=iter(film.frames), count=len(film.frames), fps=fps, is_exact=False
    )


def from_images(files: Sequence[Path]) -> Source:
    """Read lossless images one by one as they are needed, in the order given."""
    pictures = (read_image(file) for file in files)
    return Source(pictures=pictures, count=len(files), fps=None, is_exact=True)


def pngs(folder: Path, pattern: str = ".*") -> list[Path]:
    """Return the PNGs of a folder whose stem *pattern* matches whole; never none."""
    found = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() == ".png"
        and not file.name.startswith(".")
        and re.fullmatch(pattern, file.stem)
    ]
    if not found:
        wanted = "" if pattern == ".*" else f" with names like {pattern}"
        raise WorldweaveError(
            f"the folder {folder} holds no PNGs{wanted}; give the folder they are in"
        )
    return found


def read_image(file: Path) -> Picture:
    """Return an image as it is stored: grey (H, W), RGB or RGBA."""
    try:
        stored = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)
    except FileNotFoundError:
        raise WorldweaveError(f"there is no file {file}; check the path") from None
    except OSError as error:
        raise WorldweaveError(f"cannot read {file}: {error.strerror}") from error
    except cv2.error:
        stored = None
    if stored is None:
        raise WorldweaveError(
            f"cannot read {file}: it is cut short or not an image; save it again"
        )
    picture = np.asarray(stored)
    if picture.ndim == 3 and picture.dtype != np.uint8:
        raise WorldweaveError(
            f"cannot read {file}: its colours are {picture.dtype}; save them with 8 "
            "bits a channel"
        )
    if picture.ndim == 3:
        order = (2, 1, 0, 3)[: picture.shape[2]]  # OpenCV's first channel is blue
        return picture[:, :, order]
    return picture


def _read_array(file: Path) -> npt.NDArray[Any]:
    """Return whole numbers (T, H, W) or colours uint8 (T, H, W, 3)."""
    try:
        with open(file, "rb") as opened:
            stored: Any = np.load(opened, allow_pickle=False)
            if isinstance(stored, np.lib.npyio.NpzFile):
                stored = stored[_only_name(file, stored.files)]
    except FileNotFoundError:
        raise WorldweaveError(f"there is no file {file}; check the path") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise WorldweaveError(
            f"cannot read {file}: it is cut short or no array of numbers; save it "
            "again with numpy.save"
        ) from error
    array = np.asarray(stored)
    if array.ndim == 2 or (array.ndim == 3 and _is_coloured(array)):
        array = array[None]
    is_fit = array.ndim == 3 or (array.ndim == 4 and _is_coloured(array))
    if not is_fit or 0 in array.shape or not np.issubdtype(array.dtype, np.integer):
        raise WorldweaveError(
            f"cannot read {file}: it holds {array.dtype} {array.shape}; give whole "
            "numbers (T, H, W) or (H, W), or colours uint8 (T, H, W, 3)"
        )
    return array


def _is_coloured(array: npt.NDArray[Any]) -> bool:
    return array.dtype == np.uint8 and array.shape[-1] == 3


def _only_name(file: Path, names: Sequence[str]) -> str:
    if "labels" in names:
        return "labels"
    if len(names) == 1:
        return names[0]
    raise WorldweaveError(
        f"{file} holds {len(names)} arrays ({', '.join(names) or 'none'}); name that "
        'of the labels "labels"'
    )


def _natural(file: Path) -> list[tuple[int, int, str]]:
    """Order 2.png before 10.png."""
    parts = re.findall(r"[0-9]+|[^0-9]+", file.name)
    return [
        (0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part)
        for part in parts
    ]
