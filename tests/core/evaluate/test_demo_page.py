"""The page is whole HTML that needs nothing but itself."""

import base64
import io
from fractions import Fraction
from html.parser import HTMLParser

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldweave.evaluate.demo.page import (
    Card,
    Group,
    Page,
    Picture,
    Scene,
    render,
    shown,
)
from worldweave.report.page_parts.clips import data_uri

VOID = {"meta", "link", "input", "br", "img"}


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

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def decoded(uri):
    """Return the frames in a data URI, as a browser would find them."""
    head, _, body = uri.partition(",")
    assert head == "data:video/mp4;base64"
    with av.open(io.BytesIO(base64.b64decode(body, validate=True))) as container:
        (stream,) = container.streams
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode()]
        return stream.average_rate, np.stack(frames)


def card(title="edge", frames=None):
    return Card(
        title=title,
        note="contours",
        pictures=(Picture(label="control", frames=frames),),
    )


def page(*cards, words="words"):
    return Page(
        title=words,
        lead=words,
        facts=((words, words),),
        scenes=(
            Scene(
                title=words,
                note=words,
                fps=Fraction(24),
                groups=(Group(title=words, note=words, cards=cards),),
            ),
        ),
        commands=((words, words),),
        small_print=(words,),
    )


def test_a_clip_decodes_to_its_frames_enlarged(clip):
    rate, frames = decoded(data_uri(clip, Fraction(30000, 1001)))
    assert rate == Fraction(30000, 1001)
    expected = clip.repeat(2, axis=1).repeat(2, axis=2)
    assert frames.shape == expected.shape
    assert np.abs(frames.astype(int) - expected).mean() < 3


def test_a_wide_clip_is_not_enlarged():
    _, frames = decoded(data_uri(np.zeros((2, 100, 192, 3), np.uint8), Fraction(24)))
    assert frames.shape == (2, 100, 192, 3)


def test_the_page_shows_each_clip_once_and_says_how_to_play_it(clip):
    read = Reader(render(page(card(frames=clip), card("vis", clip[:9]), card("none"))))
    videos = read.all("video")
    assert [video["data-frames"] for video in videos] == ["10", "9"]
    assert [video["aria-label"] for video in videos] == [
        "edge: control",
        "vis: control",
    ]
    assert all(float(video["data-fps"]) == 24 for video in videos)
    assert len(decoded(videos[1]["src"])[1]) == 9


def test_nothing_on_the_page_comes_from_elsewhere(clip):
    html = render(page(card(frames=clip)))
    for _, attrs in Reader(html).elements:
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            assert attrs.get(name, "data:").startswith("data:")
    for call in ("http:", "https:", "//cdn", "url(", "@import", "fetch(", "import("):
        assert call not in html


@given(st.text(alphabet="<>&\"'{}scenestyle/ ü\n", max_size=40))
def test_words_of_a_person_are_shown_and_never_run(words):
    read = Reader(render(page(card(words), words=words)))
    plain = Reader(render(page(card())))
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in plain.elements]
    assert "".join(read.text).count(words) >= 8


def test_the_player_is_labelled_for_those_who_do_not_see_it():
    read = Reader(render(page()))
    assert read.all("html") == [{"lang": "en"}]
    (slider,) = [each for each in read.all("input") if each["type"] == "range"]
    assert slider["aria-label"]
    back, forth = (
        each for each in read.all("button") if each.get("id") in ("back", "forth")
    )
    assert back["aria-label"]
    assert forth["aria-label"]


@pytest.mark.parametrize(
    ("score", "text"), [(0.12345, "0.123"), (-1.0, "-1.000"), (float("nan"), "\u2013")]
)
def test_scores_have_three_decimals_and_no_number_is_a_dash(score, text):
    assert shown(score) == text
