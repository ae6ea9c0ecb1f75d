"""The report of a run is whole HTML that needs nothing but itself."""

import base64
import io
import json
import re
from fractions import Fraction
from html.parser import HTMLParser

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave.report import render, write
from worldweave.report.page_parts import markup

VOID = {"meta", "link", "input"}


class Reader(HTMLParser):
    """Reads a page; fails where a tag is not closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def words(self):
        return "".join(self.text)


def decoded(video):
    """Return the frames of a <video>, as a browser would find them."""
    head, _, body = video["src"].partition(",")
    assert head == "data:video/mp4;base64"
    with av.open(io.BytesIO(base64.b64decode(body, validate=True))) as container:
        (stream,) = container.streams
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode()]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == Fraction(float(video["data-fps"]))
        return np.stack(frames)


def by_label(html):
    """Return the clips of a page, by what they are."""
    return {video["aria-label"]: video for video in Reader(html).all("video")}


@pytest.fixture(scope="module")
def small(clip):
    """The clip at a quarter of its size: quick to encode."""
    return clip[:2, ::4, ::4]


def bare(run_report, frames, **other):
    """Return a report of *frames* alone, and of *other*."""
    nothing = {"source": None, "controls": {}, "effective": {}, "regions": {}}
    return run_report(frames=frames, chunk_starts=(0,), **(nothing | other))


def test_source_output_controls_and_maps_are_all_there_with_every_frame(
    run_report, clip
):
    report = run_report()
    videos = by_label(render(report))
    assert set(videos) == {
        "source",
        "output",
        "who decides",
        "edge: control",
        "edge: map",
        "vis: control",
        "vis: map",
    }
    assert {video["data-frames"] for video in videos.values()} == {"10"}
    for label, frames in (
        ("source", clip),
        ("output", clip[::-1]),
        ("edge: control", 255 - clip),
    ):
        shown = decoded(videos[label])[:, ::2, ::2].astype(int)
        assert shown.shape == clip.shape
        assert np.abs(shown - frames).mean() < 4
    assert len(decoded(videos["vis: map"])) == 10


def test_nothing_on_the_page_comes_from_elsewhere(run_report):
    html = render(run_report(licences=()))
    read = Reader(html)
    for _, attrs in read.elements:
        for name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href"):
            assert (attrs.get(name) or "data:").startswith("data:")
    for call in ("http:", "https:", "//cdn", "url(", "@import", "fetch(", "import("):
        assert call not in html
    (policy,) = [
        meta["content"]
        for meta in read.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_a_licence_s_address_is_words_and_no_link(run_report):
    read = Reader(render(run_report()))
    assert "https://example.org" in read.words
    assert read.all("a") == []


@settings(max_examples=30)
@given(st.text(alphabet="<>&\"'{}mapscript/ ü\n", max_size=30))
def test_words_of_a_person_are_shown_and_never_run(run_report, small, words):
    def page(word):
        return Reader(
            render(
                bare(
                    run_report,
                    small,
                    title=word,
                    prompt="a" + word,
                    negative_prompt="n" + word,
                    base=word,
                    facts=((word, word),),
                    licences=((word, word, word),),
                    left_out={word: word},
                    request={"x": {word: 1}},
                )
            )
        )

    read, plain = page(words), page("plain")
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in plain.elements]
    assert read.words.count(words) >= 11


def test_a_modality_s_name_and_schedule_are_escaped(run_report, small):
    values = np.ones((2, 2, 3), np.float32)
    html = render(
        bare(
            run_report,
            small,
            effective={"<i>": values},
            schedules={"<i>": "<script>alert()</script>"},
        )
    )
    assert "<i>" not in html.replace("<i ", "")
    assert "<script>alert" not in html
    assert "it needs no control" in html


def test_the_request_can_be_read_back_from_the_page(run_report, small):
    request = {"prompt": "</pre><b>&amp;", "controls": {"edge": {"map": 0.5}}, "ü": [1]}
    html = render(bare(run_report, small, request=request))
    assert json.loads(_inside(html, "pre")) == request


def _inside(html, tag):
    """Return the text inside the only *tag*."""
    read = HTMLParser(convert_charrefs=True)
    found, inside = [], []
    read.handle_starttag = lambda name, _: inside.append(1) if name == tag else None
    read.handle_endtag = lambda name: inside.pop() if name == tag else None
    read.handle_data = lambda data: found.append(data) if inside else None
    read.feed(html)
    read.close()
    return "".join(found)


def test_a_large_video_is_scaled_down_and_the_page_says_so(run_report):
    frames = np.zeros((2, 704, 1280, 3), np.uint8)
    frames[:, :, 640:] = 200
    html = render(bare(run_report, frames))
    shown = decoded(by_label(html)["output"])
    assert shown.shape == (2, 264, 480, 3)
    assert abs(int(shown[1, 100, 400, 0]) - 200) < 3
    words = Reader(html).words
    assert "480 pixels wide, the output is 1280x704; no frame is left out" in words
    assert 'class="" style="--ratio' in html


def test_a_small_video_is_enlarged_by_a_whole_factor(run_report, small):
    html = render(bare(run_report, small))
    assert decoded(by_label(html)["output"]).shape == (2, 128, 192, 3)
    assert 'class="pixels" style="--ratio' in html


def test_one_frame_has_no_player_and_a_chart_of_one_step(run_report, clip):
    values = np.full((1, 4, 6), 0.25, np.float32)
    html = render(
        bare(
            run_report,
            clip[:1],
            source=clip[:1],
            controls={"edge": clip[:1]},
            effective={"edge": values},
        )
    )
    assert all(len(decoded(video)) == 1 for video in by_label(html).values())
    assert re.search(r'class="player"[^>]* hidden>', html)
    assert 'class="line" stroke="#2f6fd0" d="M0,0.75 1,0.75 "' in html
    assert 'class="cursor"' not in html


def test_a_run_without_controls_says_that_the_prompt_decides_alone(run_report, small):
    html = render(bare(run_report, small, prompt=" "))
    assert set(by_label(html)) == {"output"}
    words = Reader(html).words
    assert "the prompt decides alone" in words
    assert "No prompt." in words
    assert "<svg" not in html


def test_a_long_prompt_is_cut_to_be_opened_and_still_whole(run_report, small):
    prompt = "a street with <b>cars</b>, " * 80 + "the end"
    html = render(bare(run_report, small, prompt=prompt, negative_prompt="blur " * 200))
    read = Reader(html)
    assert prompt in read.words
    assert "blur " * 200 in read.words
    assert len(read.all("details")) == 3


def test_without_a_source_maps_lie_over_their_controls(run_report, small):
    control = np.full_like(small, 255)
    values = np.zeros((2, 2, 3), np.float32)
    given_control = {"effective": {"edge": values}, "controls": {"edge": control}}
    html = render(bare(run_report, small * 0, **given_control))
    over_white = decoded(by_label(html)["edge: map"]).mean()
    html = render(bare(run_report, small * 0, source=small * 0, **given_control))
    over_black = decoded(by_label(html)["edge: map"]).mean()
    assert over_white - over_black == pytest.approx(0.28 * 255, abs=3)


def test_means_regions_schedules_and_left_out_modalities_are_told(run_report):
    report = run_report(
        schedules={"edge": "from 1 to 0.2"}, left_out={"depth": "its map is 0"}
    )
    words = Reader(render(report)).words
    assert "mean 0.28 · foreground 0.55 · from 1 to 0.2" in words
    assert "mean 0.72 · foreground 0.45" in words
    assert "depth did not run: its map is 0" in words
    assert "chunk 2 · 0.21 s" in words


@pytest.mark.parametrize(
    ("frames", "speed"), [(121, "1"), (33, "0.5"), (9, "0.25"), (1, "0.25")]
)
def test_a_short_clip_starts_slow(run_report, frames, speed):
    report = bare(run_report, np.zeros((frames, 16, 16, 3), np.uint8))
    (chosen,) = [o for o in Reader(render(report)).all("option") if "selected" in o]
    assert chosen["value"] == speed


def test_the_page_is_written_whole_or_not_at_all(run_report, small, tmp_path):
    path = tmp_path / "out.report.html"
    report = bare(run_report, small)
    assert write(report, path) == path
    assert path.read_text("utf-8") == render(report)
    path.write_text("before")
    broken = bare(run_report, small, request={"x": object()})
    with pytest.raises(TypeError):
        write(broken, path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["out.report.html"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"frames": np.zeros((3, 4, 4), np.uint8)}, r"output is uint8 \(3, 4, 4\)"),
        ({"controls": {"edge": np.zeros((1, 2, 2, 3))}}, "control edge is float64"),
        (
            {"effective": {"edge": np.zeros((3, 2, 2), np.float32)}},
            r"map of 'edge' is \(3, 2, 2\) but the video has 10",
        ),
        (
            {"effective": {"edge": np.full((10, 2, 2), np.nan, np.float32)}},
            "holds nan to nan",
        ),
        (
            {"effective": {"edge": np.full((10, 2, 2), 1.5, np.float32)}},
            "holds 1.5 to 1.5",
        ),
        (
            {
                "effective": {
                    "a": np.zeros((10, 2, 2), np.float32),
                    "b": np.zeros((10, 2, 3), np.float32),
                }
            },
            "one token grid",
        ),
        ({"regions": {"car": np.zeros((4, 2, 2), bool)}}, r"region 'car' is \(4, 2"),
    ],
)
def test_what_does_not_fit_is_refused(run_report, wrong, said):
    with pytest.raises(ValueError, match=said):
        run_report(**wrong)


def test_a_part_that_looks_like_a_gap_is_not_filled_again():
    assert markup.fill("<{a}{b}>", {"a": "{b}", "b": "x"}) == "<{b}x>"
