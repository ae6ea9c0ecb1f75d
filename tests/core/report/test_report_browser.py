"""A browser shows the report: its clips play, in step, and nothing is fetched."""

import cv2
import numpy as np
import pytest

from worldweave.report import write

#: Draws each clip and returns [label, width, mean colour of a grid of its parts].
LOOK = """
[...document.querySelectorAll("video")].map(video => {
  const canvas = document.createElement("canvas");
  canvas.width = 12; canvas.height = 8;
  const brush = canvas.getContext("2d");
  brush.drawImage(video, 0, 0, 12, 8);
  const seen = brush.getImageData(0, 0, 12, 8).data;
  return [video.ariaLabel, video.videoWidth, [...seen], video.dataset.shown];
})
"""


@pytest.fixture(scope="module")
def look(browser):
    """Seek all clips to a frame and return what they show, by label."""

    def seek(frame):
        browser.value(f"show({frame})")
        return {
            label: (width, np.array(seen).reshape(8, 12, 4)[..., :3], shown)
            for label, width, seen, shown in browser.value(LOOK)
        }

    return seek


@pytest.fixture
def opened(browser, run_report, tmp_path):
    """The browser with a report open in it."""
    browser.loads.clear()
    browser.open(write(run_report(), tmp_path / "out.report.html"))
    return browser


def small(frame):
    return cv2.resize(frame, (12, 8), interpolation=cv2.INTER_AREA).astype(int)


def test_every_clip_has_frames_and_seeking_shows_the_right_one(opened, look, clip):
    assert not opened.value("playing")
    for frame in (0, 7, 3, 9):
        seen = look(frame)
        assert len(seen) == 7
        for width, _, shown in seen.values():
            assert width == 192
            assert shown == str(frame)
        for label, frames in (("source", clip), ("output", clip[::-1])):
            distances = [np.abs(seen[label][1] - small(f)).mean() for f in frames]
            assert np.argmin(distances) == frame
    first, last = look(0), look(9)
    assert all((first[label][1] != last[label][1]).any() for label in first)


def test_the_chart_follows_the_clock(opened):
    opened.value("show(4)")
    assert opened.value('document.querySelector(".cursor").getAttribute("d")') == (
        "M4.5 0V1"
    )
    # The edge map grows from 0.1 to 1 over ten frames in one half of the picture.
    reading = opened.value('document.querySelector("output[data-means]").value')
    assert reading == f"{(0.1 + 0.9 * 4 / 9) / 2:.2f}"


def test_playing_moves_all_clips_in_step(opened):
    opened.value("setPlaying(true)")
    opened.value(
        """new Promise(done => {
          const wait = () => frame >= 3 ? done(true) : setTimeout(wait, 20);
          wait();
        })"""
    )
    opened.value("step(0)")
    opened.value("show(frame)")
    shown = opened.value(
        '[...document.querySelectorAll("video")].map(v => Number(v.dataset.shown))'
    )
    assert set(shown) == {opened.value("frame")}


def test_nothing_is_asked_of_the_network(opened, look, tmp_path):
    look(5)
    assert {url for url in opened.loads if not url.startswith("data:")} == {
        (tmp_path / "out.report.html").as_uri()
    }


def test_a_screenshot_shows_a_page_and_not_a_blank(opened, tmp_path):
    picture = cv2.imread(str(opened.screenshot(tmp_path / "shot.png")))
    assert picture.shape[1] == 1400
    colours = (picture // 16).astype(int) @ [256, 16, 1]
    assert (np.bincount(colours.ravel()) > 500).sum() > 30


@pytest.mark.parametrize("width", [360, 800, 1900])
def test_the_page_is_never_wider_than_its_window(opened, width):
    size = {"width": width, "height": 2600, "deviceScaleFactor": 1, "mobile": False}
    opened.call("Emulation.setDeviceMetricsOverride", **size)
    try:
        wide = opened.value("document.documentElement.scrollWidth")
        clips = opened.value(
            "Math.max(...clips.map(c => c.video.getBoundingClientRect().right))"
        )
    finally:
        opened.call("Emulation.clearDeviceMetricsOverride")
    assert wide == width
    assert clips <= width
