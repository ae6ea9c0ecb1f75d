"""Maps from what was asked to what each residual is multiplied with: the whole way."""

from fractions import Fraction

import attrs
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from worldweave.diffusion.sampler import noise_levels
from worldweave.generate.blend import Blend
from worldweave.generate.effective import per_frame
from worldweave.io import video
from worldweave.request.chunks import cut
from worldweave.request.labels.video import LabelVideo
from worldweave.request.maps.draw import Scene, draw
from worldweave.request.maps.shapes import Canvas
from worldweave.request.maps.tokens import TokenGrid, on_tokens, shrunk
from worldweave.request.sources import (
    Box,
    Boxes,
    Feather,
    File,
    Keyframe,
    Keyframes,
    Product,
    Rule,
    Salient,
    maximum,
)

NAMES = ["depth", "edge", "hdmap", "lidar", "seg", "vis"]
LEVELS = noise_levels(2)
FPS = Fraction(24)


@attrs.frozen(kw_only=True)
class World:
    """A video of so many frames, made by a base with such chunks."""

    frames: int
    overlap: int
    size: tuple[int, int]
    grid: TokenGrid

    @property
    def chunks(self):
        return cut(self.frames, self.grid.frames, self.overlap)

    def scene(self, **seen):
        canvas = Canvas(frames=self.frames, size=self.size, fps=FPS)
        return Scene(canvas=canvas, **seen)

    def drawn(self, maps, scene=None):
        """Maps by modality as they are kept: on the rows and columns of the tokens."""
        found = {n: draw(n, m, scene or self.scene()) for n, m in maps.items()}
        rows, columns = self.grid.rows, self.grid.columns
        return {n: shrunk(found[n], rows, columns) for n in sorted(found)}

    def asked(self, maps, scene=None):
        """The tokens (1, t, h, w) of each chunk before they share."""
        drawn = self.drawn(maps, scene)
        return [on_tokens(drawn, c.start, self.frames, self.grid) for c in self.chunks]

    def used(self, maps, scene=None):
        """The tokens (t, h, w) of each chunk as residuals are multiplied with them."""
        return [
            Blend(values=values, schedules={}, levels=LEVELS).effective()
            for values in self.asked(maps, scene)
        ]

    def by_frame(self, maps):
        return per_frame(self.used(maps), self.chunks, self.grid, self.frames)


@st.composite
def worlds(draw_from):
    stride = draw_from(st.sampled_from([1, 2, 4, 8]))
    chunk = 1 + stride * draw_from(st.integers(0, 3))
    rows, columns = (draw_from(st.integers(1, 4)) for _ in range(2))
    return World(
        frames=draw_from(st.integers(1, 3 * chunk)),
        overlap=draw_from(st.integers(0, chunk - 1)),
        size=(
            rows * draw_from(st.integers(1, 4)),
            columns * draw_from(st.integers(1, 4)),
        ),
        grid=TokenGrid(frames=chunk, stride=stride, rows=rows, columns=columns),
    )


@st.composite
def worlds_with_maps(draw_from):
    """Maps of one to six modalities: numbers, pictures, videos, some with zeros."""
    world = draw_from(worlds())
    random = np.random.default_rng(draw_from(st.integers(0, 10**6)))
    maps = {}
    for name in NAMES[: draw_from(st.integers(1, 6))]:
        kind = draw_from(st.sampled_from(["zero", "number", "picture", "video"]))
        shape = (world.frames if kind == "video" else 1, *random.integers(1, 9, 2))
        values = random.random(shape, np.float32)
        values[random.random(shape) < 0.3] = 0
        numbers = {"zero": 0.0, "number": float(random.random())}
        maps[name] = numbers.get(kind, values)
    return world, maps


def alike(one, other):
    """Whether all chunks have the same bits for the same modalities."""
    return all(
        set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(one, other, strict=True)
    )


# --- zero, shares, order -----------------------------------------------------


@settings(max_examples=50)
@given(worlds_with_maps())
def test_zero_is_zero_and_sums_never_pass_one(drawn):
    world, maps = drawn
    for asked, used in zip(world.asked(maps), world.used(maps), strict=True):
        total = sum(each[0].double() for each in asked.values())
        shared = sum(each.double() for each in used.values())
        torch.testing.assert_close(shared, total.clamp(max=1), rtol=0, atol=1e-6)
        for name, values in maps.items():
            assert torch.equal(used[name] == 0, asked[name][0] == 0)
            if isinstance(values, float) and values == 0:
                assert not used[name].any()


@settings(max_examples=40)
@given(worlds_with_maps())
def test_weak_control_is_not_touched(drawn):
    """A tenth of each of up to six modalities sums to less than one."""
    world, maps = drawn
    weak = {name: np.float32(0.1) * np.float32(values) for name, values in maps.items()}
    for asked, used in zip(world.asked(weak), world.used(weak), strict=True):
        for name in maps:
            assert torch.equal(used[name], asked[name][0])


@settings(max_examples=40)
@given(worlds_with_maps(), st.randoms(use_true_random=False))
def test_the_order_in_a_request_changes_no_bit(drawn, random):
    world, maps = drawn
    names = list(maps)
    random.shuffle(names)
    other = world.used({name: maps[name] for name in names})
    assert alike(world.used(maps), other)


@settings(max_examples=30)
@given(worlds_with_maps())
def test_a_zero_beside_them_changes_no_bit_of_the_others(drawn):
    world, maps = drawn
    without = world.used(maps)
    box = Boxes(boxes=[Box(box=(0, 0, 0.5, 0.5))])
    for zero in (0, np.zeros((world.frames, 2, 2), np.float32), 0.0 * box):
        beside = world.used({**maps, "upscale": zero})
        for one, other in zip(without, beside, strict=True):
            assert not other["upscale"].any()
            assert all(torch.equal(one[name], other[name]) for name in one)


# --- constants ---------------------------------------------------------------


def constants(value, frames, size):
    """One value in every form that can say it."""
    rows, columns = size
    everywhere = [Box(box=(0, 0, 1, 1), value=value)]
    halves = [
        Box(box=(0, 0, 0.5, 1), value=value),
        Box(box=(0.5, 0, 1, 1), value=value),
    ]
    moments = [Keyframe(time=0.0, value=value), Keyframe(time=0.5, value=value)]
    return {
        "numpy scalar": np.float32(value),
        "picture": np.full((3, 5), value, np.float32),
        "float64 video": np.full((frames, 2, 7), value),
        "whole video": np.full((frames, rows, columns), value, np.float32),
        "tensor": torch.full((1, 4, 4), value),
        "boxes": Boxes(boxes=everywhere),
        "outside of boxes": Boxes(boxes=halves, outside=value),
        "box in time": Boxes(
            boxes=[
                attrs.evolve(everywhere[0], end=0.01),
                attrs.evolve(everywhere[0], start=0.01),
            ]
        ),
        "keyframe": Keyframes(keyframes=moments[:1]),
        "keyframes": Keyframes(keyframes=moments),
        "keyframes with boxes": Keyframes(
            keyframes=[attrs.evolve(m, box=(0, 0, 1, 1)) for m in moments]
        ),
        "function": lambda t, y, x: np.full((len(t), y.size, x.size), value),
        "small function": lambda t, y, x: value,
        "product": Product(product=(1.0, Boxes(boxes=everywhere))),
        "maximum": maximum(value, 0.0, Boxes(boxes=everywhere)),
        "feather": Feather(feather=np.full((3, 5), value, np.float32), pixels=3),
        "rule": Rule(rule=f"car -> {value!r}; else -> {value!r}"),
        "salient": Salient(foreground=value, background=value),
    }


FORMS = list(constants(0.5, 1, (2, 2)))


def looking(world):
    """A scene with labels and objects."""
    ids = np.zeros((1, *world.size), np.uint8)
    ids[:, :, : world.size[1] // 2] = 1
    labels = LabelVideo(ids=ids, names=("road", "car"))
    return world.scene(labels=labels, foreground=lambda: ids == 1)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12)
@given(
    world=worlds(),
    value=st.floats(0, 1, width=32) | st.just(0.25),
    at=st.integers(1, 6),
)
def test_a_number_equals_the_constant_bit_for_bit_in_every_form(form, world, value, at):
    others = dict.fromkeys(NAMES[1:at], 0.3)
    constant = constants(value, world.frames, world.size)[form]
    scene = looking(world)
    number = world.used({**others, "depth": value}, scene)
    assert alike(number, world.used({**others, "depth": constant}, scene))


@settings(max_examples=15)
@given(worlds(), st.integers(0, 255))
def test_a_number_equals_a_picture_of_one_grey(world, grey):
    value = float(np.float32(grey) / np.float32(255))
    picture = np.full((4, 6), grey, np.uint8)
    assert alike(world.used({"edge": value}), world.used({"edge": picture}))


# --- chunks and frames -------------------------------------------------------

#: The base of the paper: 121 frames in 16 latent frames; few tokens, to be quick.
LONG = World(
    frames=361,
    overlap=1,
    size=(4, 4),
    grid=TokenGrid(frames=121, stride=8, rows=2, columns=2),
)


def switching(frames, at):
    values = np.zeros((frames, 1, 1), np.float32)
    values[at:] = 1.0
    return values


@settings(max_examples=30)
@given(
    st.integers(0, 120), st.sampled_from(["array", "keyframes", "boxes", "function"])
)
def test_a_switch_at_frame_241_of_361_is_where_it_was_asked(overlap, form):
    """Defect B: squeezed to one chunk first, it would switch at frame 81."""
    world = attrs.evolve(LONG, overlap=overlap)
    moment = 241 / 24
    asked = {
        "array": switching(361, 241),
        "keyframes": Keyframes(
            keyframes=[
                Keyframe(time=240 / 24, value=0.0),
                Keyframe(time=moment, value=1.0),
            ]
        ),
        "boxes": Boxes(boxes=[Box(box=(0, 0, 1, 1), start=moment)]),
        "function": lambda t, y, x: (t >= moment - 1e-9) * 1.0,
    }[form]
    for chunk, tokens in zip(world.chunks, world.asked({"edge": asked}), strict=True):
        for (begin, end), values in zip(
            world.grid.frame_edges(), tokens["edge"][0], strict=True
        ):
            held = range(chunk.start + begin, chunk.start + end)
            share = sum(frame >= 241 for frame in held) / len(held)
            assert torch.equal(values, torch.full((2, 2), share))
    effective = world.by_frame({"edge": asked})["edge"]
    assert effective.shape == (361, 2, 2)
    assert not effective[: 241 - 7].any()
    assert effective[241].all()
    assert (effective[241 + 7 :] == 1).all()


@settings(max_examples=50)
@given(worlds(), st.integers(0, 10**6))
def test_every_latent_frame_has_the_mean_of_its_frames_in_every_chunk(world, seed):
    values = np.random.default_rng(seed).random((world.frames, 1, 1), np.float32)
    padded = np.concatenate([values, np.repeat(values[-1:], world.grid.frames, axis=0)])
    for chunk, tokens in zip(world.chunks, world.asked({"edge": values}), strict=True):
        for (begin, end), found in zip(
            world.grid.frame_edges(), tokens["edge"][0], strict=True
        ):
            wanted = padded[chunk.start + begin : chunk.start + end].mean()
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@settings(max_examples=30)
@given(worlds(), st.integers(0, 10**6))
def test_the_padded_tail_holds_the_last_frame(world, seed):
    values = np.random.default_rng(seed).random((world.frames, 3, 2), np.float32)
    last = world.chunks[-1]
    beyond = last.start + world.grid.frames - world.frames
    longer = np.concatenate([values, np.repeat(values[-1:], max(beyond, 0), axis=0)])
    padded = attrs.evolve(world, frames=len(longer))
    assert alike(world.asked({"edge": values}), padded.asked({"edge": longer}))


@settings(max_examples=30)
@given(worlds(), st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6))
def test_a_map_of_another_size_lands_where_it_should(world, tall, wide, seed):
    """Every pixel drawn as many shows the same picture."""
    shape = (world.frames, *np.random.default_rng(seed).integers(1, 5, 2))
    values = np.random.default_rng(seed).random(shape, np.float32)
    large = values.repeat(tall, axis=1).repeat(wide, axis=2)
    for one, other in zip(
        world.asked({"edge": values}), world.asked({"edge": large}), strict=True
    ):
        torch.testing.assert_close(one["edge"], other["edge"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", [6, 8, 12, 48, 72])
def test_a_map_of_another_rate_lands_where_it_should(tmp_path, rate):
    """It switches after half a second, whatever the number of its frames."""
    world = attrs.evolve(LONG, frames=24, grid=TokenGrid(
        frames=9, stride=4, rows=2, columns=2
    ))  # fmt: skip
    np.save(tmp_path / "map.npy", switching(rate, rate // 2))
    slow = File(file=str(tmp_path / "map.npy"), fps=rate, match="time")
    assert alike(world.asked({"edge": slow}), world.asked({"edge": switching(24, 12)}))


def test_a_small_object_in_a_video_of_another_rate_never_vanishes(tmp_path):
    frames = np.zeros((6, 32, 32, 3), np.uint8)
    frames[4, 8:16, 16:24] = 255
    video.write(tmp_path / "map.mp4", frames, 12)
    world = World(
        frames=12,
        overlap=1,
        size=(64, 64),
        grid=TokenGrid(frames=9, stride=4, rows=4, columns=4),
    )
    seen = world.by_frame({"edge": str(tmp_path / "map.mp4")})["edge"]
    assert seen[8, 1, 2] > 0.2
    assert seen[8, 3, 0] < 0.02
