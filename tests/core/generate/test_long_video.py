"""Where a video starts from, and how one chunk goes on from the one before."""

import attrs
import numpy as np
import pytest
import torch

from worldweave import Request
from worldweave.generate.denoise import denoise
from worldweave.io import sizes
from worldweave.request.chunks import cut
from worldweave.request.plan import make_plan

FAST = {"steps": 2, "guidance": 0.0}


def same(one, other):
    return np.array_equal(one.frames, other.frames)


def test_starting_from_the_source_stays_closer_to_it(generate, pipeline, clip, plain):
    def distance(made):
        return np.abs(made.frames.astype(int) - clip).mean()

    near = [distance(generate(pipeline, clip, sigma_max=s)) for s in (0.1, 1.0, 5.0)]
    assert near == sorted(near)
    assert near[-1] < distance(plain)


def test_the_full_noise_does_not_see_the_source(generate, pipeline, clip, plain):
    assert same(generate(pipeline, clip, sigma_max=80.0), plain)
    assert same(generate(pipeline, 255 - clip), plain)


@pytest.mark.parametrize("overlap", range(9))
def test_every_overlap_covers_the_video(overlap):
    for frames in (1, 8, 9, 10, 17, 18, 40):
        chunks = cut(frames, 9, overlap)
        made = []
        for chunk in chunks:
            assert len(made) == chunk.start + chunk.known
            made += range(chunk.start + chunk.known, chunk.start + 9)
        assert made == list(range(len(made)))
        assert frames <= len(made) < frames + 9
        assert [chunk.known for chunk in chunks[1:]] == [overlap] * (len(chunks) - 1)


@pytest.mark.parametrize("overlap", [0, 1, 4, 8])
def test_any_overlap_gives_the_same_length(generate, pipeline, clip, overlap):
    source = np.concatenate([clip, clip[:3]])
    made = generate(pipeline, source, steps=1, overlap=overlap)
    assert len(made.frames) == 13
    assert np.array_equal(made.frames[:9], generate(pipeline, clip[:9], steps=1).frames)


def chunk_of(pipeline, clip, known):
    request = Request(prompt="a street", video=clip[:9], **FAST)
    plan = make_plan(request, pipeline.catalog, lambda *_: [])
    (chunk,) = cut(9, 9, 1)
    text = pipeline._encode_prompts(request)
    return attrs.evolve(pipeline._chunk_input(plan, chunk, [], 2, text), known=known)


@pytest.fixture
def unrestored(pipeline):
    """Without the restorer, which sees a few frames on and would blur the border."""
    restorer = pipeline.base.autoencoder.restorer
    trained = {key: value.clone() for key, value in restorer.state_dict().items()}
    restorer.load_state_dict({key: 0 * value for key, value in trained.items()})
    yield
    restorer.load_state_dict(trained)


@pytest.mark.usefixtures("unrestored")
@pytest.mark.parametrize(("known", "given"), [(1, 1), (4, 1), (5, 5), (8, 5), (9, 9)])
def test_a_chunk_keeps_the_frames_it_is_given(pipeline, clip, known, given):
    """As far as they fill latent frames: 1, 5 or all 9. The rest it makes anew."""
    with torch.inference_mode():
        chunk = chunk_of(pipeline, clip, clip[:known])
        made = denoise(pipeline.base, {}, chunk, print).frames
        through = pipeline.base.autoencoder
        whole = through.decode(through.encode(sizes.to_unit(clip[:9])))
    kept = sizes.to_frames(whole)
    assert np.array_equal(made[:given], kept[:given])
    assert not np.array_equal(made[given:], kept[given:]) or given == 9


def test_the_next_chunk_goes_on_from_the_last_frame(pipeline, clip):
    """What it is given is seen: other last frames make another next chunk."""
    with torch.inference_mode():
        following = [
            denoise(pipeline.base, {}, chunk_of(pipeline, clip, known), print).frames
            for known in (clip[:1], 255 - clip[:1])
        ]
    assert not np.array_equal(following[0][1:], following[1][1:])


@pytest.mark.parametrize("overlap", [1, 5])
def test_a_long_video_hands_its_last_frames_to_the_next_chunk(
    generate, pipeline, clip, overlap
):
    source = np.concatenate([clip, clip[:3]])
    whole = generate(pipeline, source, overlap=overlap).frames
    request = Request(prompt="a street by day", video=source, overlap=overlap, **FAST)
    plan = make_plan(request, pipeline.catalog, lambda *_: [])
    second = cut(13, 9, overlap)[1]
    last = whole[9 - overlap : 9]
    for known, agrees in ((last, True), (255 - last, False)):
        # Only as many frames as are handed over: the first chunk itself is not.
        with torch.inference_mode():
            text = pipeline._encode_prompts(request)
            chunk = pipeline._chunk_input(plan, second, [known], 2, text)
            made = denoise(pipeline.base, {}, chunk, print).frames[overlap:]
        expected = whole[9 : 9 + len(made)]
        assert np.array_equal(made[: len(expected)], expected) == agrees


def test_chunks_draw_noise_of_their_own(generate, pipeline, clip):
    source = np.concatenate([clip[:9], clip[:9]])
    made = generate(pipeline, source, overlap=0).frames
    assert not np.array_equal(made[:9], made[9:])
    second = generate(pipeline, clip[:9], seed=1).frames
    assert np.array_equal(made[9:], second)
