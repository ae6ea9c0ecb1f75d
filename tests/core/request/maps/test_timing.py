"""Which frame of a file is shown when: by number, by time, and past its end."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from worldweave.request.maps.timing import frame_index
from worldweave_registry import WorldweaveError

RATES = st.fractions(1, 240, max_denominator=1001)
COUNTS = st.integers(2, 60)


def index(have, frames, have_fps=None, fps=24, **how):
    stated = {"match": None, "stated_fps": None, "length": "error", "whole": frames}
    stated |= how
    found = frame_index(
        have=have,
        have_fps=None if have_fps is None else Fraction(have_fps),
        frames=frames,
        fps=Fraction(fps),
        what="map of 'edge'",
        **stated,
    )
    assert found.dtype == np.intp
    return found.tolist()


# --- by number ---------------------------------------------------------------


@given(COUNTS, RATES)
def test_a_file_without_a_rate_goes_frame_by_frame(frames, fps):
    assert index(frames, frames, None, fps) == list(range(frames))


@given(COUNTS, RATES)
def test_a_file_of_the_same_rate_goes_frame_by_frame(frames, fps):
    assert index(frames, frames, fps, fps) == list(range(frames))


@given(COUNTS, RATES, RATES)
def test_matched_by_frames_no_rate_counts(frames, theirs, ours):
    found = index(frames, frames, theirs, ours, match="frames", stated_fps=7.0)
    assert found == list(range(frames))


@given(COUNTS, RATES, st.sampled_from([None, "frames", "time"]))
def test_a_single_image_is_shown_throughout(frames, fps, match):
    assert index(1, frames, None, fps, match=match) == [0] * frames


# --- by time -----------------------------------------------------------------


def test_a_file_of_half_the_rate_shows_each_frame_twice():
    assert index(4, 8, 12, 24) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_file_of_twice_the_rate_shows_every_other_frame():
    assert index(8, 4, 48, 24) == [0, 2, 4, 6]


def test_ntsc_rates_drift_by_whole_frames_only():
    found = index(3000, 3000, Fraction(30000, 1001), 30, match="time", length="hold")
    steps = np.diff(found)
    assert found[1000] == 999
    assert found[1001] == 1000
    assert set(steps.tolist()) == {0, 1}


@given(COUNTS, RATES, RATES, st.sampled_from(["hold", "loop"]), COUNTS)
def test_at_every_moment_the_frame_that_lasts_then_is_shown(
    have, theirs, ours, length, frames
):
    found = index(have, frames, theirs, ours, match="time", length=length)
    for n, shown in enumerate(found):
        moment = n / ours
        if length == "loop":
            moment %= have / theirs
        elif moment >= have / theirs:
            assert shown == have - 1
            continue
        assert shown / theirs <= moment < (shown + 1) / theirs


@pytest.mark.parametrize("switch", range(1, 12))
def test_a_switch_at_a_frame_of_a_slower_file_comes_at_its_time(switch):
    map_of_12 = np.arange(12) >= switch
    of_24 = map_of_12[index(12, 24, 12, 24)]
    assert of_24.tolist() == [n >= 2 * switch for n in range(24)]


def test_a_stated_rate_overrides_that_of_the_file():
    assert index(4, 8, 60, 24, stated_fps=12) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_stated_rate_is_for_a_file_that_has_none():
    assert index(4, 8, None, 24, stated_fps=12.0) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_stated_decimal_means_the_broadcast_rate():
    rate = Fraction(30000, 1001)
    assert index(3000, 3000, None, rate, stated_fps=29.9700299) == list(range(3000))


@pytest.mark.parametrize("fps", [1e-6, 1000])
def test_the_slowest_and_the_fastest_rates_are_taken(fps):
    found = index(3, 4, None, 1, stated_fps=fps, match="time", length="hold")
    assert found == ([0, 0, 0, 0] if fps < 1 else [0, 2, 2, 2])


# --- what nobody can tell ----------------------------------------------------


def test_another_rate_and_as_many_frames_must_be_told():
    with pytest.raises(
        WorldweaveError,
        match=r"both have 20 frames, but at 12 and 24 fps; give match "
        r'"frames" or "time"',
    ):
        index(20, 20, 12, 24)


@pytest.mark.parametrize("match", ["frames", "time"])
def test_once_told_the_same_file_is_taken(match):
    found = index(20, 20, 12, 24, match=match, length="hold")
    assert found == [n if match == "frames" else n // 2 for n in range(20)]


def test_rates_that_mean_the_same_frames_need_no_word():
    assert index(20, 20, Fraction(24001, 1000), 24) == list(range(20))


def test_by_time_without_a_rate_is_refused():
    with pytest.raises(WorldweaveError, match=r"no frame rate.*give its fps"):
        index(4, 8, None, 24, match="time")


@pytest.mark.parametrize(
    "fps", [0, -1.0, 1e-300, 5e-324, 1000.5, 1e300, float("nan"), float("inf")]
)
def test_a_rate_that_is_none_is_refused(fps):
    with pytest.raises(WorldweaveError, match="give frames per second"):
        index(4, 8, None, 24, stated_fps=fps)


# --- too short, too long -----------------------------------------------------


def test_too_few_frames_name_both_counts():
    with pytest.raises(
        WorldweaveError,
        match="map of 'edge' has 9 frames but the video has 10; give one per frame "
        'or a single image, or set length to "hold" or "loop"',
    ):
        index(9, 10)


@given(COUNTS, COUNTS)
def test_by_number_only_the_same_count_fits(have, frames):
    if have == frames:
        assert index(have, frames) == list(range(frames))
        return
    with pytest.raises(WorldweaveError, match=f"has {have} .* has {frames}; give one"):
        index(have, frames)


@given(COUNTS, COUNTS)
def test_held_the_last_frame_repeats_and_surplus_is_left_out(have, frames):
    found = index(have, frames, length="hold")
    assert found == [min(n, have - 1) for n in range(frames)]


@given(COUNTS, COUNTS)
def test_looped_the_file_starts_again(have, frames):
    assert index(have, frames, length="loop") == [n % have for n in range(frames)]


@given(COUNTS, COUNTS, RATES, RATES)
def test_by_time_only_less_than_a_frame_may_be_left_over(have, frames, theirs, ours):
    needed = (frames - 1) * theirs // ours + 1
    spare = have - frames * theirs / ours
    if have >= needed and spare < 1:
        assert index(have, frames, theirs, ours, match="time")[-1] == needed - 1
        return
    remedy = "give a longer one" if have < needed else "cut it"
    with pytest.raises(WorldweaveError, match=f"lasts .* s .*; {remedy}"):
        index(have, frames, theirs, ours, match="time")


def test_a_whole_frame_too_few_or_too_many_is_refused_by_time():
    assert index(4, 8, 12, 24) == [*index(4, 7, 12, 24), 3]
    with pytest.raises(WorldweaveError, match="give a longer one"):
        index(4, 9, 12, 24)
    with pytest.raises(WorldweaveError, match="cut it"):
        index(5, 8, 12, 24)


def test_too_short_by_time_names_both_durations():
    with pytest.raises(
        WorldweaveError,
        match=r"lasts 0.75 s \(9 frames at 12 fps\) but the video 1 s "
        r'\(24 frames at 24 fps\); give a longer one, or set length to "hold" or',
    ):
        index(9, 24, 12, 24)


# --- a video that is cut -----------------------------------------------------


def outcome(*arguments, **how):
    """The frames, or what is wrong with how the file is meant."""
    try:
        return index(*arguments, **how)
    except WorldweaveError as error:
        return "match" if "give match" in str(error) else "length"


@given(st.data(), COUNTS, COUNTS, RATES, RATES)
def test_a_cut_does_not_change_what_a_file_means(data, have, whole, theirs, ours):
    frames = data.draw(st.integers(1, whole))
    how = {"length": data.draw(st.sampled_from(["hold", "loop", "error"]))}
    of_whole = outcome(have, whole, theirs, ours, **how)
    of_part = outcome(have, frames, theirs, ours, whole=whole, **how)
    if of_whole == "length":  # the end it does not reach may be cut off
        assert of_part != "match"
    else:
        wanted = of_whole if of_whole == "match" else of_whole[:frames]
        assert of_part == wanted


def test_as_many_frames_as_the_whole_video_must_be_told_after_a_cut_too():
    with pytest.raises(WorldweaveError, match="both have 21 frames, but at 12 and 24"):
        index(21, 20, 12, 24, whole=21)
    assert index(21, 20, 12, 24, whole=40) == [n // 2 for n in range(20)]


@given(COUNTS, st.integers(1, 60), RATES, RATES)
def test_where_the_whole_is_not_known_nothing_is_guessed(have, frames, theirs, ours):
    """What is given without a word is right, whatever the whole is."""
    given = (have, frames, theirs, ours)
    found = outcome(*given, whole=None, length="hold")
    if found == "match":
        return
    for whole in {frames, max(have, frames), frames + 7}:
        known = outcome(*given, whole=whole, length="hold")
        if known == "match":  # of the frames that are used none depends on it
            for match in ("frames", "time"):
                same = outcome(*given, whole=whole, length="hold", match=match)
                assert same == found
        else:
            assert known == found


def test_another_rate_must_be_told_where_the_whole_is_not_known():
    with pytest.raises(WorldweaveError, match=r"12 and 24 fps.*max_frames.*give match"):
        index(21, 20, 12, 24, whole=None)
    assert index(21, 20, None, 24, whole=None) == list(range(20))
    assert index(21, 20, 24, 24, whole=None) == list(range(20))
    assert index(21, 20, 12, 24, whole=None, match="time") == [
        n // 2 for n in range(20)
    ]
    # A file of fewer frames has fewer than the whole video, whatever that has.
    assert index(10, 20, 12, 24, whole=None) == [n // 2 for n in range(20)]


@pytest.mark.parametrize("whole", [None, 30])
def test_of_a_cut_video_only_what_is_used_must_be_there(whole):
    assert index(25, 20, whole=whole) == list(range(20))
    with pytest.raises(WorldweaveError, match="has 19 frames but the video has 20"):
        index(19, 20, whole=whole)
    by_time = {"match": "time", "whole": whole}
    assert index(25, 20, 24, 24, **by_time) == list(range(20))
    with pytest.raises(WorldweaveError, match="give a longer one"):
        index(9, 20, 12, 24, **by_time)
