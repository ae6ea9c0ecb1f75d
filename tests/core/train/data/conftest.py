"""A small sound data folder to spoil, and what `examine` says of it then."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import attrs
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from worldweave.io import video
from worldweave.train.data.layout import read_layout
from worldweave.train.data.look import Finding, examine
from worldweave_plugins.edge.preprocess import Canny
from worldweave_registry import Base, Modality

Frames = npt.NDArray[np.uint8]
SAMPLES, FRAMES, SIZE, CHUNK = 4, 24, (32, 48), 5
NOWHERE = "toy_parts:nothing"
BASE = Base(
    name="toy",
    summary="A toy",
    license="Apache-2.0",
    config=NOWHERE,
    autoencoder=NOWHERE,
    text_encoder=NOWHERE,
    chunk_frames=CHUNK,
    sizes=(SIZE,),
    fps=24.0,
    check_prompt="worldweave_plugins.tinyworld.check:prompt_problems",
)
MODALITIES = {
    "thermal": Modality(
        name="thermal",
        summary="Heat: the warmer the brighter",
        license="Apache-2.0",
        preprocessor=None,
    ),
    "edge": Modality(
        name="edge",
        summary="Canny edges",
        license="Apache-2.0",
        preprocessor="worldweave_plugins.edge.preprocess:Canny",
    ),
    "seg": Modality(
        name="seg",
        summary="One colour for each class",
        license="Apache-2.0",
        preprocessor=None,
        is_label_video=True,
    ),
}
SKY, ROAD, CAR = (70, 130, 180), (128, 64, 128), (0, 0, 142)
CAPTIONS = ("a red car", "two blue boxes", "a street at night", "a table")


def path_of_the_car(seed: int) -> npt.NDArray[np.int64]:
    """Columns of a car that goes in fits and starts, so that a shift in time shows."""
    random = np.random.default_rng(seed)
    speed = random.choice([0, 1, 4], FRAMES, p=[0.5, 0.3, 0.2])
    return np.cumsum(speed) % (SIZE[1] - 10)


def street(seed: int, ground: Frames, car: tuple[int, int, int]) -> Frames:
    """Return *ground* (H, W, 3) with a car going over it."""
    frames = np.repeat(ground[None], FRAMES, axis=0)
    for frame, left in zip(frames, path_of_the_car(seed), strict=True):
        frame[18:26, left : left + 10] = car
    return frames


def filmed(seed: int) -> Frames:
    random = np.random.default_rng(100 + seed)
    clouds = random.integers(60, 190, (4, 6, 3)).astype(np.uint8)
    ground = cv2.resize(clouds, SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    return street(seed, np.asarray(ground, np.uint8), (250, 20, 20))


def warmth(seed: int) -> Frames:
    """The road is warm, the sky is cold, the car is hot."""
    rows = np.linspace(20, 150 + 5 * seed, SIZE[0]).astype(np.uint8)
    ground = np.broadcast_to(rows[:, None, None], (*SIZE, 3)).copy()
    return street(seed, ground, (255, 255, 255))


def classes(seed: int) -> Frames:
    ground = np.empty((*SIZE, 3), np.uint8)
    ground[:16], ground[16:] = SKY, ROAD
    return street(seed, ground, CAR)


@attrs.frozen
class Folder:
    """A data folder to spoil."""

    root: Path

    def file(self, kind: str, number: int) -> Path:
        (found,) = self.root.glob(f"{kind}/{number:04}.*")
        return found

    def frames(self, kind: str, number: int) -> Frames:
        return video.read(self.file(kind, number)).frames

    def write(self, kind: str, number: int, frames: Frames, fps: int = 24) -> None:
        """Replace a file by one with these frames, of the same format."""
        path = self.file(kind, number)
        if path.suffix == ".npy":
            np.save(path, frames)
        else:
            video.write(path, frames, Fraction(fps), crf=4)

    def caption(self, number: int, text: str) -> None:
        self.file("captions", number).write_text(text, encoding="utf-8")

    def look(
        self, modality: str, *, base: Base = BASE, frames: int | None = None
    ) -> list[Finding]:
        described = MODALITIES[modality]
        layout = read_layout(self.root, modality)
        return list(examine(layout, described, base, frames=frames).findings)

    def hear(self, modality: str, severity: str, words: str) -> Finding:
        """Return the one finding of this severity that holds *words*."""
        found = self.look(modality)
        matching = [f for f in found if f.severity == severity and words in f.says]
        assert len(matching) == 1, [f"{f.severity}: {f.says}" for f in found]
        return matching[0]


@pytest.fixture(scope="session")
def sound_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    for kind in ("videos", "captions", *MODALITIES):
        (root / kind).mkdir()
    for number in range(SAMPLES):
        name = f"{number:04}"
        video.write(root / "videos" / f"{name}.mp4", filmed(number), 24, crf=4)
        (root / "captions" / f"{name}.txt").write_text(CAPTIONS[number])
        np.save(root / "thermal" / f"{name}.npy", warmth(number))
        shown = video.read(root / "videos" / f"{name}.mp4").frames
        video.write(root / "edge" / f"{name}.mp4", Canny()(shown), 24, crf=4)
        np.save(root / "seg" / f"{name}.npy", classes(number))
    return root


@pytest.fixture
def base() -> Base:
    """A base that only says what it works with."""
    return BASE


@pytest.fixture
def folder(sound_root: Path, tmp_path: Path) -> Folder:
    """A copy of the sound folder."""
    return Folder(Path(shutil.copytree(sound_root, tmp_path / "data")))


@pytest.fixture
def sound(sound_root: Path) -> Folder:
    """The sound folder itself: not to be written to."""
    return Folder(sound_root)
