"""Maps from files of every kind, and what is wrong with those that are none."""

import os
import tracemalloc
from fractions import Fraction

import cv2
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from worldweave.checkpoints import store
from worldweave.io import video
from worldweave.request.maps.files import as_values, read_map_file
from worldweave_registry import WorldweaveError

WHAT = "map of 'edge'"
RANDOM = np.random.default_rng(0).random((5, 4, 6), np.float32)


def read(path):
    return read_map_file(path, what=WHAT)


def refused(path):
    with pytest.raises(WorldweaveError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(WHAT)
    assert "\n" not in message
    return message


# --- pictures and videos -----------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif"])
def test_a_picture_is_read_as_luma(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    bgr = np.zeros((4, 6, 3), np.uint8)
    bgr[0], bgr[1], bgr[2] = 255, (0, 0, 255), (0, 255, 0)
    path.write_bytes(cv2.imencode(suffix.lower(), bgr)[1].tobytes())
    found = read(path)
    assert found.fps is None
    assert found.values.dtype == np.float32
    assert found.values[0, :, 0].tolist() == pytest.approx([1, 0.299, 0.587, 0])
    assert found.values[0, 0].tolist() == [1.0] * 6


def test_sixteen_bits_are_read_in_full(tmp_path):
    path = tmp_path / "map.png"
    levels = np.array([[0, 1, 257, 65535]], np.uint16)
    path.write_bytes(cv2.imencode(".png", levels)[1].tobytes())
    wanted = [0, 1 / 65535, 1 / 255, 1]
    assert read(path).values.ravel().tolist() == pytest.approx(wanted)


def test_transparency_is_ignored(tmp_path):
    path = tmp_path / "map.png"
    bgra = np.zeros((2, 2, 4), np.uint8)
    bgra[0] = (255, 255, 255, 0)
    path.write_bytes(cv2.imencode(".png", bgra)[1].tobytes())
    assert read(path).values.tolist() == [[[1, 1], [0, 0]]]


def test_a_picture_of_floats_is_refused(tmp_path):
    path = tmp_path / "map.tiff"
    floats = np.ones((2, 2, 3), np.float32)
    path.write_bytes(cv2.imencode(".tiff", floats)[1].tobytes())
    assert "not an image of 8 or 16 bits" in refused(path)


def test_a_video_has_one_map_per_frame_and_a_rate(tmp_path):
    path = tmp_path / "map.mp4"
    levels = np.array([0, 128, 255], np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (3, 16, 16, 3))
    video.write(path, frames, Fraction(30000, 1001))
    found = read(path)
    assert found.fps == Fraction(30000, 1001)
    assert found.values.shape == (3, 16, 16)
    assert found.values.dtype == np.float32
    means = found.values.mean(axis=(1, 2)).tolist()
    assert means == pytest.approx([0, 128 / 255, 1], abs=0.01)


def test_colours_of_a_video_are_read_as_luma(tmp_path):
    path = tmp_path / "map.mp4"
    frames = np.zeros((1, 16, 16, 3), np.uint8)
    frames[..., 1] = 255
    video.write(path, frames, 24)
    assert read(path).values.mean() == pytest.approx(0.587, abs=0.02)


# --- arrays ------------------------------------------------------------------


def save(path, array):
    tensor = torch.from_numpy(np.asarray(array))
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez_compressed(path, anything=array)
    elif path.suffix == ".safetensors":
        store.write(path, {"anything": tensor})
    else:
        torch.save(tensor, path)


ARRAYS = [".npy", ".npz", ".safetensors", ".pt", ".pth"]


@pytest.mark.parametrize("suffix", ARRAYS)
def test_arrays_are_read_bit_for_bit(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    save(path, RANDOM)
    found = read(str(path))
    assert np.array_equal(found.values, RANDOM)
    assert found.fps is None


def test_of_several_arrays_the_one_called_map_is_taken(tmp_path):
    tensors = {"map": torch.from_numpy(RANDOM), "other": torch.zeros(3)}
    np.savez(tmp_path / "map.npz", other=np.zeros(3), map=RANDOM)
    store.write(tmp_path / "map.safetensors", tensors)
    torch.save(tensors, tmp_path / "map.pt")
    for path in tmp_path.iterdir():
        assert np.array_equal(read(path).values, RANDOM)


def test_of_several_arrays_without_a_map_all_are_named(tmp_path):
    tensors = {"first": torch.zeros(2, 2), "second": torch.zeros(2, 2)}
    np.savez(tmp_path / "map.npz", first=np.zeros(3), second=RANDOM)
    store.write(tmp_path / "map.safetensors", tensors)
    torch.save(tensors, tmp_path / "map.pt")
    for path in tmp_path.iterdir():
        assert "2 arrays (first, second); keep one, or call" in refused(path)


def test_no_array_at_all_is_refused(tmp_path):
    torch.save({}, tmp_path / "map.pt")
    assert "0 arrays (none)" in refused(tmp_path / "map.pt")


@pytest.mark.parametrize("suffix", ARRAYS)
@pytest.mark.parametrize("kept", [3, 70, 0.5, 0.98])
def test_a_cut_file_is_refused(tmp_path, suffix, kept):
    path = tmp_path / f"map{suffix}"
    save(path, np.random.default_rng(0).random((5, 40, 60)))
    stored = path.read_bytes()
    path.write_bytes(stored[: kept if kept > 1 else int(kept * len(stored))])
    assert f"map{suffix}" in refused(path)


@pytest.mark.parametrize("suffix", [*ARRAYS, ".png", ".mp4", ".txt", ""])
def test_words_are_refused(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    path.write_text("nothing to see here, only words and words\n" * 30)
    assert f"map{suffix}" in refused(path)


@pytest.mark.parametrize("suffix", [*ARRAYS, ".png", ".mp4"])
def test_what_is_no_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    assert "there is no file" in refused(path)
    assert "check the path" in refused(path)
    path.touch()
    assert "is empty" in refused(path)
    path.unlink()
    path.mkdir()
    assert "is a folder" in refused(path)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "map.npy")
    assert "not a regular file" in refused(tmp_path / "map.npy")


class Program:
    def __reduce__(self):
        return (os.system, ("false",))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_a_file_that_would_run_code_is_refused(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    objects = np.array([[Program()]], dtype=object)
    if suffix == ".npy":
        np.save(path, objects, allow_pickle=True)
    elif suffix == ".npz":
        np.savez(path, objects)
    else:
        torch.save(Program(), path)
    assert "cannot be read" in refused(path)


@pytest.mark.parametrize("saved", ["text", [1, 2], 0.5, {"map": "words"}])
def test_a_pt_file_of_something_else_is_refused(tmp_path, saved):
    torch.save(saved, tmp_path / "map.pt")
    assert "give an array" in refused(tmp_path / "map.pt")


def test_the_file_is_named_where_its_values_are_wrong(tmp_path):
    np.save(tmp_path / "map.npy", RANDOM + 1)
    assert "map.npy holds values from 1" in refused(tmp_path / "map.npy")


# --- values ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((4, 6), (1, 4, 6)),
        ((1, 4, 6), (1, 4, 6)),
        ((5, 4, 6), (5, 4, 6)),
        ((5, 1, 4, 6), (5, 4, 6)),
        ((1, 5, 4, 6), (5, 4, 6)),
        ((5, 4, 6, 1), (5, 4, 6)),
        ((1, 4, 6, 1), (1, 4, 6)),
        ((1, 1, 4, 6), (1, 4, 6)),
    ],
)
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_axes_of_one_are_left_out(shape, wanted, make):
    array = np.random.default_rng(0).random(shape, np.float32)
    assert np.array_equal(as_values(make(array), WHAT), array.reshape(wanted))


@pytest.mark.parametrize(
    "shape", [(), (3,), (2, 4, 4, 3), (0, 4, 4), (4, 0), (1, 1, 1, 4, 4)]
)
def test_other_shapes_are_refused(shape):
    with pytest.raises(WorldweaveError, match=r"give \(H, W\) or \(T, H, W\)"):
        as_values(np.zeros(shape), WHAT)


def test_a_colour_video_as_an_array_is_told_so():
    with pytest.raises(WorldweaveError, match="looks like colour, so keep one channel"):
        as_values(np.zeros((5, 4, 4, 3), np.uint8), WHAT)


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_floats_of_all_widths_are_taken(dtype):
    tensor = torch.tensor([[0.0, 0.25, 1.0]], dtype=dtype, requires_grad=True)
    values = as_values(tensor, WHAT)
    assert values.dtype == np.float32
    assert values.tolist() == [[[0, 0.25, 1]]]


def test_bytes_and_booleans_are_taken():
    assert as_values(np.array([[0, 51, 255]], np.uint8), WHAT).ravel().tolist() == (
        np.array([0, 0.2, 1], np.float32).tolist()
    )
    assert as_values(torch.tensor([[False, True]]), WHAT).tolist() == [[[0, 1]]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_array_of_the_user_is_left_as_it_is_and_not_shared(dtype):
    given_ = np.array([[0.5, 1.000001]], dtype)
    before = given_.copy()
    found = as_values(given_, WHAT)
    assert found.max() == 1
    assert np.array_equal(given_, before)
    assert not np.shares_memory(found, given_)


@pytest.mark.parametrize(
    ("dtype", "copies"), [(np.float32, 1), (np.float64, 1.5), (np.uint8, 5)]
)
def test_a_large_file_is_in_memory_no_more_often_than_must_be(tmp_path, dtype, copies):
    """Once as it is stored and, where that differs, once as float32."""
    np.save(tmp_path / "large.npy", np.ones((20, 200, 300), dtype))
    stored = 20 * 200 * 300 * np.dtype(dtype).itemsize
    tracemalloc.start()
    read(tmp_path / "large.npy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (copies + 0.1) * stored


@pytest.mark.parametrize(
    "array",
    [
        *(np.zeros((4, 4), kind) for kind in (np.int64, np.uint16, np.int8, object)),
        np.zeros((4, 4), np.complex64),
        np.zeros((4, 4), "datetime64[s]"),
        torch.zeros(4, 4, dtype=torch.int32),
        torch.zeros(4, 4, dtype=torch.complex64),
        torch.zeros(4, 4).to_sparse(),
        torch.zeros(4, 4, device="meta"),
        [[0.5]],
        None,
    ],
)
def test_everything_else_is_refused(array):
    with pytest.raises(WorldweaveError, match=r"floats in 0..1 or uint8 in 0..255"):
        as_values(array, WHAT)


def test_a_rounding_error_above_one_is_cut_and_no_more():
    assert as_values(np.array([[1.0 + 5e-6]]), WHAT).item() == 1.0
    with pytest.raises(WorldweaveError, match=r"must lie in 0..1"):
        as_values(np.array([[1.0 + 5e-5]]), WHAT)


@given(
    st.sampled_from([-0.1, 1.1, float("nan"), float("inf"), -1e-300, 255.0, 1e300]),
    st.integers(0, 4),
    st.integers(0, 3),
    st.integers(0, 5),
)
def test_a_value_outside_is_told_with_its_place(bad, frame, row, column):
    array = RANDOM.astype(np.float64)
    array[frame, row, column] = bad
    array[4, 3, 5] = bad
    count = 1 if (frame, row, column) == (4, 3, 5) else 2
    with pytest.raises(
        WorldweaveError,
        match=f"map of 'edge' holds values from .* lie in 0..1, but {count} of 120 do "
        f"not, the first is .* at frame {frame}, row {row}, column {column}$",
    ):
        as_values(array, WHAT)


def test_the_range_is_told_beside_holes():
    array = np.array([[0.5, np.nan, -0.25, 3.0]])
    with pytest.raises(WorldweaveError, match=r"from -0.25 to 3; .*3 of 4.* is nan"):
        as_values(array, WHAT)
