"""Controls in which bright means what dark should mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldweave.train.data.layout import read_layout
from worldweave.train.data.look import examine
from worldweave_registry import Base, Modality


def invert(folder: Any, kind: str, *numbers: int) -> None:
    for number in numbers:
        folder.write(kind, number, 255 - folder.frames(kind, number))


def test_some_controls_inverted_against_the_preprocessor_are_an_error(
    folder: Any,
) -> None:
    invert(folder, "edge", 1, 3)
    finding = folder.hear("edge", "error", "are inverted")
    assert finding.samples == ("0001", "0003")
    assert "255 - old value" in finding.mend


def test_all_inverted_against_the_preprocessor_are_a_warning(folder: Any) -> None:
    invert(folder, "edge", *range(4))
    folder.hear("edge", "warning", "all 4 controls are inverted")


def test_the_control_of_another_video_is_a_warning(folder: Any) -> None:
    # Edges of noise: like nothing in the picture.
    noise = np.random.default_rng(0).integers(0, 2, (24, 32, 48, 1)) * 255
    folder.write("edge", 2, np.repeat(noise.astype(np.uint8), 3, axis=3))
    finding = folder.hear("edge", "warning", "does not look like what")
    assert finding.samples == ("0002",)
    assert "belongs to another video" in finding.says


def test_one_control_inverted_against_the_others_is_a_warning(folder: Any) -> None:
    invert(folder, "thermal", 2)
    finding = folder.hear("thermal", "warning", "seems inverted: 0002")
    assert "dark it is bright" in finding.says


def test_a_bright_background_among_dark_ones_is_a_warning(folder: Any) -> None:
    # Nothing in common but the background: noise in different places.
    for number in range(4):
        random = np.random.default_rng(number)
        spots = np.zeros((24, 32, 48, 3), np.uint8)
        spots[:, random.integers(0, 28) :, random.integers(0, 44) :] = 255
        spots[:, 4:, :] //= 1 + number % 2
        folder.write("thermal", number, spots)
    invert(folder, "thermal", 1)
    finding = folder.hear("thermal", "warning", "seems inverted: 0001")
    assert "of it is bright" in finding.says or "like the others" in finding.says


def test_without_a_preprocessor_it_says_what_it_cannot_judge(sound: Any) -> None:
    finding = sound.hear("thermal", "note", "cannot be told from the files alone")
    assert "'Heat: the warmer the brighter'" in finding.says
    assert "the lower one is brighter in 4 of 4 controls" in finding.says


def test_the_plugins_word_on_polarity_is_shown(sound: Any, base: Base) -> None:
    modality = Modality(
        name="thermal",
        summary="Depth",
        license="x",
        preprocessor=None,
        metadata={"polarity": "near is bright"},
    )
    found = examine(read_layout(sound.root, "thermal"), modality, base).findings
    (finding,) = found
    assert "'near is bright'" in finding.says
    assert "the lower part of a picture is nearer" in finding.mend


def test_labels_have_no_polarity(folder: Any) -> None:
    invert(folder, "seg", 1)
    assert not any("inverted" in f.says for f in folder.look("seg"))
