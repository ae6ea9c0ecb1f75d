"""Properties of maps, down to the bytes of a video that is made."""

import json

import attrs
import numpy as np
import pytest
import torch

from worldweave import Control, Request
from worldweave.maps import Box, Boxes, Feather, Keyframe, Keyframes, Product
from worldweave.request.structure import from_plain


def switching(frames, at):
    values = np.zeros((frames, 1, 1), np.float32)
    values[at:] = 1.0
    return values


def bytes_of(made, folder):
    """The whole video as it is written."""
    return made.save(folder / "out.mp4", report=False).read_bytes()


def test_a_number_and_constants_make_the_same_file(generate, pipeline, clip, tmp_path):
    source = clip[:9]
    everywhere = Box(box=(0, 0, 1, 1), value=0.4)
    forms = {
        "numpy scalar": np.float32(0.4),
        "float64 video": np.full((9, 2, 7), 0.4),
        "boxes": Boxes(boxes=[everywhere]),
        "function": lambda t, y, x: 0.4 + 0 * (t + y + x),
        "keyframes": Keyframes(keyframes=[Keyframe(time=0, value=0.4)]),
        "product": 0.4 * Boxes(boxes=[Box(box=(0, 0, 1, 1))]),
    }
    wanted = None
    for form in forms:
        made = generate(
            pipeline, source, steps=1, maps={"edge": forms[form], "vis": 0.9}
        )
        written = bytes_of(made, tmp_path)
        wanted = wanted or written
        assert written == wanted, form
    number = generate(pipeline, source, steps=1, maps={"edge": 0.4, "vis": 0.9})
    assert bytes_of(number, tmp_path) == wanted
    other = generate(pipeline, source, steps=1, maps={"edge": 0.5, "vis": 0.9})
    assert bytes_of(other, tmp_path) != wanted


def test_paths_and_tensors_deep_in_a_map_make_a_video_that_can_be_replayed(
    generate, pipeline, clip, tmp_path
):
    np.save(tmp_path / "map.npy", np.full((4, 6), 0.8, np.float32))
    for value in (
        Product(product=(0.5, tmp_path / "map.npy")),
        Feather(feather=tmp_path / "map.npy", pixels=3),
        Product(product=(0.5, torch.full((8, 8), 0.8))),
        torch.full((8, 8), 0.8),
    ):
        made = generate(pipeline, clip[:9], steps=1, maps={"edge": value})
        made.save(tmp_path / "out.mp4", report=False)
        manifest = json.loads((tmp_path / "out.manifest.json").read_text())
        kept = manifest["request"]["controls"]["edge"]["map"]
        is_file = str(tmp_path / "map.npy") in json.dumps(kept)
        assert is_file or "array float32 8x8 in memory" in json.dumps(kept)
        assert from_plain(manifest["request"])


def test_the_order_of_controls_makes_the_same_file(pipeline, clip, tmp_path):
    ramp = np.linspace(0, 1, 6, dtype=np.float32).reshape(1, 2, 3)
    controls = {"vis": Control(map=0.8), "edge": Control(map=ramp)}
    asked = Request(prompt="a street", video=clip[:9], steps=1, controls=controls)
    turned = attrs.evolve(asked, controls=dict(reversed(controls.items())))
    first = bytes_of(pipeline.run(asked), tmp_path)
    assert bytes_of(pipeline.run(turned), tmp_path) == first


@pytest.mark.parametrize("overlap", [0, 1, 5])
def test_every_frame_before_a_switch_is_as_without(generate, pipeline, clip, overlap):
    """It switches in the second chunk, so no bit of the first may know of it."""
    source = np.concatenate([clip, clip])[:14]
    late = {"edge": switching(14, 11), "vis": 0}
    how = {"steps": 1, "overlap": overlap}
    without = generate(pipeline, source, **how)
    made = generate(pipeline, source, maps=late, **how)
    assert np.array_equal(made.frames[:9], without.frames[:9])
    assert not np.array_equal(made.frames[9:], without.frames[9:])
    assert not made.effective["edge"][:8].any()
    assert made.effective["edge"][11:].all()
