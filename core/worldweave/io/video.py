"""Read video files into frames and write frames as video files.

Frames are uint8 (T, H, W, 3), RGB, upright, top row first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import attrs
import av
import cv2
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter

from worldweave.io import h264
from worldweave.io.containers import missing_bytes
from worldweave.io.files import atomic_path
from worldweave_registry.errors import WorldweaveError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from worldweave.base import Frames

DEFAULT_FPS = Fraction(24)  # of images and of files that do not say
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
_VIDEOS = {".mp4", ".mov"}
_READABLE = "mp4, mov, mkv, webm, gif, png, jpg or npy"

# Without these flags swscale repeats chroma and rounds down: on a smooth picture
# 35 dB and one level too dark, against 50 dB and no bias with them.
_TO_RGB = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
)
_LARGEST_SIDE = 16384  # of x264


@attrs.frozen(kw_only=True)
class Video:
    """Frames uint8 (T, H, W, 3) and how many of them make a second."""

    frames: Frames = attrs.field(eq=attrs.cmp_using(eq=np.array_equal), repr=False)
    fps: Fraction


#: Brings frames (T, H, W, 3) to another size.
Fit: TypeAlias = "Callable[[Frames], Frames]"


@attrs.frozen(kw_only=True)
class Probe:
    """What a file says of itself: frames (None where it does not), (H, W), fps."""

    frames: int | None
    size: tuple[int, int]
    fps: Fraction


def read(
    path: str | os.PathLike[str],
    *,
    max_frames: int | None = None,
    fit: Fit | None = None,
) -> Video:
    """Read the first video stream of a file, or one image as one frame.

    Takes mp4, mov, mkv, webm, gif and whatever else FFmpeg knows; an image
    (png, jpg, …) becomes one frame at 24 fps, and a .npy holds uint8
    (T, H, W, 3). Frames are turned upright as the file asks. A variable frame
    rate is given by its average and its frames are all kept. Sound is ignored,
    transparency dropped, more than 8 bits cut to 8 without tone mapping, and
    pixels are taken as square. With *max_frames* reading stops after so many.
    *fit* brings each frame (1, H, W, 3) to the size it is needed in as soon as it
    is read, so that a long film in 4K need not fit into memory.

    Raises WorldweaveError for what is no readable video, and for one that is cut
    short or damaged, where it says how many frames could be read.
    """
    if max_frames is not None and max_frames < 1:
        raise WorldweaveError(f"max_frames is {max_frames}; ask for at least one frame")
    file = regular_file(path)
    if file.suffix.lower() in IMAGES:
        return _fitted(_read_image(file)[None], fit)
    if file.suffix.lower() == ".npy":
        stored = map_npy(file)
        return _fitted(np.array(stored[:max_frames]), fit)
    return _read_stream(file, max_frames, fit)


def probe(path: str | os.PathLike[str]) -> Probe:
    """Read only the header and one frame; raises WorldweaveError as `read` does.

    The number of frames is the container's word; a trimmed file may show fewer.
    """
    file = regular_file(path)
    if file.suffix.lower() in IMAGES:
        height, width = _read_image(file).shape[:2]
        return Probe(frames=1, size=(height, width), fps=DEFAULT_FPS)
    if file.suffix.lower() == ".npy":
        length, height, width = map_npy(file).shape[:3]
        return Probe(frames=length, size=(height, width), fps=DEFAULT_FPS)
    first = _read_stream(file, 1, None)
    with opened(file) as (_, stream):
        height, width = first.frames.shape[1:3]
        return Probe(frames=stream.frames or None, size=(height, width), fps=first.fps)


def write(
    path: str | os.PathLike[str],
    frames: Frames | Iterable[Frames],
    fps: Fraction | float,
    *,
    crf: int = 14,
    keyframe_every: int | None = None,
) -> None:
    """Write H.264 (yuv420p, BT.709) to an mp4 or mov that any player opens.

    *frames* is (T, H, W, 3) or an iterable of (H, W, 3), encoded as it comes.
    *fps* is kept exactly where it is a Fraction, such as Fraction(30000, 1001);
    a float is taken as the nearest fraction with a denominator up to 1001.
    *crf* is x264's quality, 0 (lossless but for chroma) to 51; 14 leaves no
    visible trace. yuv420p needs even sides: an odd one gets its last column or
    row once more, so nothing is cropped and such a file reads back one larger.
    *keyframe_every*: frames at most between two that a player can go to at once;
    None: hundreds.

    The same frames give the same bytes on the same machine. The file is whole or
    absent: see `atomic_path`, also for the errors; WorldweaveError as well for a
    suffix, frames, fps or crf that cannot be written.
    """
    _refuse_bad_settings(path, crf)
    rate = _rate(fps)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise WorldweaveError(f"cannot write {path}: there are no frames")
    size = np.shape(first)[:2]
    if max(size) > _LARGEST_SIDE:
        raise WorldweaveError(
            f"cannot write {path}: frames are {size[1]}x{size[0]} and H.264 takes "
            f"sides up to {_LARGEST_SIDE}; scale them down"
        )
    pictures = _checked(chain([first], pictures), path)
    with atomic_path(path) as temporary:
        h264.encode(temporary, pictures, size, rate, crf, keyframe_every)


def write_png(path: str | os.PathLike[str], frame: Frames) -> None:
    """Write one frame (H, W, 3) as a PNG, whole or not at all."""
    if Path(path).suffix.lower() != ".png":
        raise WorldweaveError(f"cannot write {path}: name the file something.png")
    picture = next(_checked([frame], path))
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def regular_file(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        raise WorldweaveError(f"there is no file {path}; check the path") from None
    except OSError as error:
        raise cannot_read(file, str(error.strerror)) from error
    if stat.S_ISDIR(mode):
        raise WorldweaveError(f"{path} is a folder; give one file: {_READABLE}")
    if not stat.S_ISREG(mode):
        raise WorldweaveError(f"{path} is not a regular file; give {_READABLE}")
    if file.stat().st_size == 0:
        raise WorldweaveError(f"{path} is empty; make or copy it again")
    return file


def cannot_read(file: Path, reason: str) -> WorldweaveError:
    return WorldweaveError(f"cannot read {file}: {reason}")


def _read_image(file: Path) -> Frames:
    """Return (H, W, 3); OpenCV turns a photo upright by its EXIF."""
    try:
        stored = np.fromfile(file, np.uint8)
        picture = cv2.imdecode(stored, cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise cannot_read(file, str(error)) from error
    if picture is None:
        raise cannot_read(file, "it is cut short or not an image; save it again")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def map_npy(file: Path) -> Frames:
    """Open an array without reading it."""
    try:
        stored: npt.NDArray[np.generic] = np.load(file, "r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise cannot_read(file, "it is cut short or not a .npy array") from error
    if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[3] != 3:
        raise cannot_read(
            file,
            f"it holds {stored.dtype} {stored.shape}; save uint8 (T, H, W, 3)",
        )
    if 0 in stored.shape:
        raise cannot_read(file, f"its shape {stored.shape} has no pixels; save some")
    return stored.view(np.uint8)


@contextmanager
def opened(file: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video stream that is not the cover picture of a song."""
    try:
        # A file object, not a name: FFmpeg would take "10:30.mp4" for a protocol.
        # And no protocols at all: a playlist must not make us open other files.
        with (
            open(file, "rb") as stored,
            av.open(
                stored,
                "r",
                options={"protocol_whitelist": "none"},
                metadata_errors="replace",  # a title need not be UTF-8
            ) as container,
        ):
            # FFmpeg draws any long text in a .txt as a film of a terminal.
            if container.format.name == "tty":
                raise cannot_read(file, f"it is text; give {_READABLE}")
            for stream in container.streams.video:
                if not stream.disposition & Disposition.attached_pic:
                    yield container, stream
                    return
            refuse_cut(file, 0)
            raise cannot_read(file, f"it has no video stream; give {_READABLE}")
    except PermissionError as error:
        raise cannot_read(file, "no permission; change its mode or copy it") from error


def _fitted(frames: Frames, fit: Fit | None) -> Video:
    return Video(frames=frames if fit is None else fit(frames), fps=DEFAULT_FPS)


def _read_stream(file: Path, max_frames: int | None, fit: Fit | None) -> Video:
    frames: list[Frames] = []
    fps: Fraction | None = None
    try:
        with opened(file) as (container, stream):
            fps = stream.average_rate or stream.guessed_rate
            size = None
            for picture in _pictures(file, container, stream):
                _refuse_other_size(file, len(frames), size, picture)
                size = picture.shape
                frames.append(picture if fit is None else fit(picture[None])[0])
                if len(frames) == max_frames:
                    break
    except (FFmpegError, OSError) as error:
        refuse_cut(file, len(frames))
        if fps is None:
            reason = f"it is not a video; give {_READABLE}"
            raise cannot_read(file, reason) from error
        raise _broken(file, "is damaged", len(frames)) from error
    if not frames:
        raise cannot_read(file, "it has no frames; record or convert it again")
    return Video(frames=_stack(frames), fps=fps or DEFAULT_FPS)


def _pictures(
    file: Path, container: InputContainer, stream: VideoStream
) -> Iterator[Frames]:
    """Decode frames (H, W, 3), upright."""
    reformatter = VideoReformatter()
    for frame in decoded(file, container, stream):
        yield upright(frame, reformatter)


def decoded(
    file: Path, container: InputContainer, stream: VideoStream
) -> Iterator[VideoFrame]:
    """Decode frames as they are stored, from where *container* stands."""
    for packet in container.demux(stream):
        # The empty packet at the end asks the decoder for what it still holds. In
        # a cut file those frames follow a gap: they wait for ones that never come.
        is_last = packet.size == 0 and packet.dts is None
        if packet.is_corrupt or (is_last and missing_bytes(file)):
            raise InvalidDataError(0, "a packet is damaged or missing")
        yield from packet.decode()


def upright(frame: VideoFrame, reformatter: VideoReformatter) -> Frames:
    """Return a decoded frame as (H, W, 3), turned as its file asks."""
    rgb = reformatter.reformat(frame, format="rgb24", interpolation=_TO_RGB)
    picture = rgb.to_ndarray().astype(np.uint8, copy=False)
    # FFmpeg and rot90 both count counter-clockwise.
    quarter_turns = round(frame.rotation / 90)
    return np.rot90(picture, quarter_turns) if quarter_turns else picture


def _refuse_other_size(
    file: Path, number: int, size: tuple[int, ...] | None, picture: Frames
) -> None:
    if size is not None and picture.shape != size:
        old, new = (f"{shape[1]}x{shape[0]}" for shape in (size, picture.shape))
        raise cannot_read(
            file,
            f"its size changes from {old} to {new} at frame {number}; "
            "convert it to one size first",
        )


def refuse_cut(file: Path, readable: int) -> None:
    lacking = missing_bytes(file)
    if lacking:
        raise _broken(file, f"is cut short by {lacking} bytes", readable)


def _broken(file: Path, trouble: str, readable: int) -> WorldweaveError:
    if readable == 0:
        outcome = "no frame could be read; copy or convert it again"
    else:
        outcome = (
            f"only {readable} frames could be read; copy or convert it again, "
            f"or read those with max_frames={readable}"
        )
    return WorldweaveError(f"{file} {trouble} and {outcome}")


def _stack(frames: list[Frames]) -> Frames:
    """Join frames, freeing each as it goes: half the memory of np.stack."""
    joined = np.empty((len(frames), *frames[0].shape), np.uint8)
    for at in range(len(frames) - 1, -1, -1):
        joined[at] = frames.pop()
    return joined


def _refuse_bad_settings(path: str | os.PathLike[str], crf: int) -> None:
    if Path(path).suffix.lower() not in _VIDEOS:
        raise WorldweaveError(
            f"cannot write {path}: name the file something.mp4 or something.mov"
        )
    if not 0 <= crf <= 51:
        raise WorldweaveError(f"crf is {crf}; x264 takes 0 (best) to 51")


def _rate(fps: Fraction | float) -> Fraction:
    try:
        rate = Fraction(fps)
        if isinstance(fps, float):
            rate = rate.limit_denominator(1001)
    except (ValueError, OverflowError, TypeError):
        rate = Fraction(0)
    if rate <= 0 or max(rate.numerator, rate.denominator) >= 2**31:
        raise WorldweaveError(
            f"fps is {fps}; give a positive number, exactly as a Fraction of "
            "numbers below 2**31 or as a float"
        )
    return rate


def _checked(
    pictures: Iterable[Frames], path: str | os.PathLike[str]
) -> Iterator[Frames]:
    """Pass frames on as long as they are uint8 (H, W, 3) of one size."""
    size: tuple[int, ...] | None = None
    for at, picture in enumerate(pictures):
        shape, dtype = np.shape(picture), getattr(picture, "dtype", None)
        is_frame = len(shape) == 3 and shape[2] == 3 and 0 not in shape
        if not is_frame or dtype != np.uint8 or shape != (size or shape):
            raise WorldweaveError(
                f"cannot write {path}: frame {at} is {dtype} {shape}; give "
                f"uint8 {size or '(H, W, 3)'}"
            )
        size = shape
        yield picture
