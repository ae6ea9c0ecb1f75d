"""Labels as Isaac Replicator and CARLA write them, whole and broken."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from worldweave.io import video
from worldweave.request.labels.layouts import CARLA_CLASSES
from worldweave.request.labels.video import read_labels
from worldweave.request.sources import Labels
from worldweave_registry import WorldweaveError

FILES = Path(__file__).parent
FPS = Fraction(24)


def read(folder, frames=3, **fields):
    labels = Labels(file=str(folder), **fields)
    return read_labels(labels, frames=frames, fps=FPS, whole=frames)


def named(labels):
    """The class names of all pixels."""
    return np.array(labels.names)[labels.ids]


def save_png(path, picture):
    """Write RGB or RGBA."""
    order = (2, 1, 0, 3)[: picture.shape[-1]]
    stored = np.ascontiguousarray(picture[..., order])
    path.write_bytes(cv2.imencode(".png", stored)[1].tobytes())


def copied(name, tmp_path):
    return Path(shutil.copytree(FILES / name, tmp_path / name))


def refused(told, folder, **fields):
    with pytest.raises(WorldweaveError, match=told):
        read(folder, **fields)


# --- isaac -------------------------------------------------------------------

ARM_COLUMNS = ((2, 5), (4, 7), (6, 9))


def test_the_input_of_robot_augmentation_is_read():
    labels = read(FILES / "isaac", layout="isaac")
    assert set(labels.names) == {
        "BACKGROUND", "table", "robot_arm", "gripper", "UNLABELLED"
    }  # fmt: skip
    for found, (left, right) in zip(named(labels), ARM_COLUMNS, strict=True):
        assert (found[2:8, left:right] == "robot_arm").all()
        assert (found[8:10, left:right] == "gripper").all()
        assert (found == "robot_arm").sum() == 18
        assert found[11, 0] == "table"


def test_alpha_tells_background_from_unlabelled():
    labels = named(read(FILES / "isaac", layout="isaac"))
    assert labels[2, 0, 0] == "UNLABELLED"
    assert (labels == "UNLABELLED").sum() == 1
    assert labels[0, 0, 0] == "BACKGROUND"


def test_without_alpha_background_and_unlabelled_are_one(tmp_path):
    folder = copied("isaac", tmp_path)
    for file in (folder / "segmentation").iterdir():
        save_png(file, cv2.imread(str(file))[..., ::-1])
    labels = read(folder, layout="isaac")
    assert "UNLABELLED" not in labels.names
    assert named(labels)[2, 0, 0] == "BACKGROUND"


def test_a_video_of_the_segmentation_is_read(tmp_path):
    folder = copied("isaac", tmp_path)
    order = [f"frame_{number}.png" for number in (8, 9, 10)]
    pictures = [cv2.imread(str(folder / "segmentation" / name)) for name in order]
    big = [one.repeat(8, axis=0).repeat(8, axis=1)[..., ::-1] for one in pictures]
    shutil.rmtree(folder / "segmentation")
    video.write(folder / "segmentation.mp4", np.stack(big), FPS)
    labels = named(read(folder, layout="isaac"))
    exact = named(read(FILES / "isaac", layout="isaac"))
    exact[2, 0, 0] = "BACKGROUND"
    assert (labels[:, 4::8, 4::8] == exact).all()


def test_the_files_of_replicators_own_writer_are_read():
    labels = read(FILES / "replicator", frames=2, layout="isaac")
    assert labels.names == ("BACKGROUND", "table", "robot_arm")
    assert (named(labels)[1, 2:10, 4:7] == "robot_arm").all()


def test_one_colour_of_two_classes_is_refused(tmp_path):
    folder = copied("isaac", tmp_path)
    extra = {"(140, 25, 255, 255)": {"class": "wall"}}
    (folder / "segmentation_label" / "z.json").write_text(json.dumps(extra))
    refused("(140, 25, 255).* is both 'table' and 'wall'", folder, layout="isaac")


def test_a_gap_in_the_frames_is_refused(tmp_path):
    folder = copied("isaac", tmp_path)
    (folder / "segmentation" / "frame_9.png").unlink()
    refused(r"8 to 10 1 are missing \(9\)", folder, layout="isaac")


def test_two_pictures_of_one_frame_are_refused(tmp_path):
    folder = copied("isaac", tmp_path)
    pictures = folder / "segmentation"
    shutil.copy(pictures / "frame_9.png", pictures / "frame_09.png")
    refused("frame_09.png and frame_9.png are both frame 9", folder, layout="isaac")


def test_a_colour_in_no_table_is_refused_not_given_to_the_nearest(tmp_path):
    folder = copied("isaac", tmp_path)
    for number in (9, 10):
        (folder / "segmentation_label" / f"frame_{number}.json").unlink()
    told = r"18 pixels in 3 of 3 frames .*\(255, 197, 25\), .*frame 0, row 8, column 2"
    refused(told, folder, layout="isaac")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"0": {"class": "sky"}}, "colorize_semantic_segmentation=True"),
        ({"(0, 0, 300, 255)": {"class": "sky"}}, "is no colour"),
        ({"(0, 0, 0, 0)": {"shape": "cube"}}, 'expected {"class": "name"}'),
        ({"(0, 0, 0, 0)": "sky"}, 'expected {"class": "name"}'),
    ],
)
def test_a_table_isaac_does_not_write_is_refused(tmp_path, table, told):
    folder = copied("isaac", tmp_path)
    (folder / "segmentation_label" / "z.json").write_text(json.dumps(table))
    refused(told, folder, layout="isaac")


def test_a_folder_isaac_did_not_write_is_refused(tmp_path):
    refused("holds no PNGs with names like", FILES / "carla_raw", layout="isaac")
    refused("is no folder", FILES / "absent", layout="isaac")
    refused(
        "brings its own classes", FILES / "isaac", layout="isaac", classes={"0": "sky"}
    )
    folder = copied("isaac", tmp_path)
    shutil.rmtree(folder / "segmentation")
    refused("there is no file .*segmentation.mp4", folder, layout="isaac")
    (folder / "segmentation").mkdir()
    refused("holds no PNGs", folder, layout="isaac")
    shutil.rmtree(folder / "segmentation_label")
    (folder / "segmentation_label").mkdir()
    save_png(folder / "segmentation" / "frame_1.png", np.full((12, 16, 3), 9, np.uint8))
    refused("holds no table of classes", folder, layout="isaac")


# --- carla -------------------------------------------------------------------


def carla_names():
    """What the fixtures show."""
    names = np.full((3, 12, 16), "Sky", "<U20")
    names[:, 6:] = "Roads"
    for at in range(3):
        names[at, 5:8, 2 + 2 * at : 6 + 2 * at] = "Car"
    names[:, 1:4, 13] = "TrafficLight"
    return names


@pytest.mark.parametrize("name", ["carla_raw", "carla_instance", "carla_palette"])
def test_raw_instance_and_converted_pictures_of_carla_are_read(name):
    labels = read(FILES / name, layout="carla")
    assert labels.names[14] == "Car"
    assert len(labels.names) == 29
    assert np.array_equal(named(labels), carla_names())


@pytest.mark.parametrize("name", ["carla_raw", "carla_palette"])
def test_the_first_picture_may_be_black(tmp_path, name):
    folder = copied(name, tmp_path)
    save_png(folder / "000.png", np.zeros((12, 16, 4), np.uint8))
    labels = named(read(folder, frames=4, layout="carla"))
    assert (labels[0] == "Unlabeled").all()
    assert np.array_equal(labels[1:], carla_names())


def test_a_converted_video_of_carla_is_read(tmp_path):
    palette = {name: colour for _, name, colour in CARLA_CLASSES}
    pictures = np.array([palette[name] for name in carla_names().ravel()], np.uint8)
    big = pictures.reshape(3, 12, 16, 3).repeat(8, axis=1).repeat(8, axis=2)
    black = np.zeros_like(big[:1])
    video.write(tmp_path / "a.mp4", np.concatenate([black, big]), FPS)
    labels = named(read(tmp_path / "a.mp4", frames=4, layout="carla"))
    assert (labels[1:, 4::8, 4::8] == carla_names()).all()
    assert (labels[0] == "Unlabeled").all()


def test_raw_numbers_in_a_video_are_refused(tmp_path):
    raw = np.zeros((3, 32, 32, 3), np.uint8)
    raw[:, :16, :, 0], raw[:, 16:, :, 0] = 11, 1
    video.write(tmp_path / "a.mp4", raw, FPS)
    refused(
        "look like raw class numbers in a video", tmp_path / "a.mp4", layout="carla"
    )


@pytest.mark.parametrize("name", ["carla_raw", "carla_palette"])
def test_names_of_carlas_classes_can_be_changed_and_joined(name):
    table = {"14": "vehicle", "15": "vehicle", "40": "sign of mine"}
    labels = read(FILES / name, layout="carla", classes=table)
    assert set(named(labels).ravel()) == {"Sky", "Roads", "vehicle", "TrafficLight"}
    assert labels.names.count("vehicle") == 1


def test_a_palette_of_ones_own_replaces_that_of_carla():
    table = {"sky": [70, 130, 180], "car": "#00008e", "*": "rest"}
    labels = read(FILES / "carla_palette", layout="carla", classes=table)
    assert set(labels.names) == {"sky", "car", "rest"}
    assert np.array_equal(named(labels) == "car", carla_names() == "Car")


def test_classes_that_carla_does_not_have_are_refused(tmp_path):
    folder = copied("carla_raw", tmp_path)
    raw = np.zeros((12, 16, 3), np.uint8)
    raw[0, :2, 0] = 29
    save_png(folder / "101.png", raw)
    told = r"2 pixels in 1 of 4 frames have numbers .* 29,"
    refused(told, folder, frames=4, layout="carla")
    save_png(folder / "098.png", np.full((12, 16, 3), 99, np.uint8))
    refused("have colours .*", folder, frames=4, layout="carla")
