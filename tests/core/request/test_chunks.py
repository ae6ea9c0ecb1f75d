"""Chunks cover a video of any length, each taking over from the one before."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from worldweave.request.chunks import Chunk, cut

lengths = st.integers(1, 200).flatmap(
    lambda length: st.tuples(
        st.integers(1, 1000), st.just(length), st.integers(0, length - 1)
    )
)

#: A busy machine is no failure.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(lengths)
def test_every_frame_is_made_exactly_once(sizes):
    frames, length, overlap = sizes
    made: list[int] = []
    for chunk in cut(frames, length, overlap):
        made += range(chunk.start + chunk.known, chunk.start + length)
    assert made[:frames] == list(range(frames))


@patient
@given(lengths)
def test_known_frames_are_the_last_ones_of_the_chunk_before(sizes):
    frames, length, overlap = sizes
    first, *later = cut(frames, length, overlap)
    assert (first.index, first.start, first.known) == (0, 0, 0)
    end = length
    for number, chunk in enumerate(later, 1):
        assert chunk.index == number
        assert chunk.known == overlap
        assert chunk.start + chunk.known == end
        end = chunk.start + length


@patient
@given(lengths)
def test_no_chunk_is_made_for_nothing(sizes):
    frames, length, overlap = sizes
    last = cut(frames, length, overlap)[-1]
    assert last.start + last.known < frames


@pytest.mark.parametrize(
    ("frames", "starts"),
    [(1, [0]), (121, [0]), (122, [0, 120]), (241, [0, 120]), (242, [0, 120, 240])],
)
def test_the_7b_takes_one_frame_over(frames, starts):
    chunks = cut(frames, 121, 1)
    assert [chunk.start for chunk in chunks] == starts
    assert chunks[0] == Chunk(index=0, start=0, known=0)
