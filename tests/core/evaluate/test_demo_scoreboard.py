"""Scores stand beside their bounds, and the best of the takes is marked."""

import math
from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldweave.evaluate.demo.scoreboard import (
    Column,
    Row,
    Scoreboard,
    by_region,
    columns_of,
    overall,
)
from worldweave.evaluate.demo.subjects import from_clip, held_out_clips
from worldweave_registry import discover

HIGHER = Column(
    modality="toy",
    metric="Brightness",
    meaning="how bright",
    higher_is_better=True,
    measure=lambda frames: float(frames.mean()),
)
LOWER = attrs.evolve(HIGHER, higher_is_better=False)


def gray(level):
    return np.full((2, 4, 6, 3), level, np.uint8)


@pytest.fixture(scope="module")
def subject():
    catalog = discover()
    base = catalog.find_base("tiny-world")
    clip = held_out_clips(base, [0])[0]
    modalities = [catalog.find(name) for name in ("edge", "vis")]
    return from_clip("it", clip, clip.prompt, base, modalities, Path("nowhere"))


@pytest.mark.parametrize(("column", "best"), [(HIGHER, "light"), (LOWER, "dark")])
def test_the_best_take_is_marked_and_no_bound(column, best):
    board = overall(
        [column],
        {"white": gray(255), "black": gray(0)},
        {"dark": gray(10), "middle": gray(99), "light": gray(200)},
    )
    marked = [row.title for row in board.rows if board.is_best(row, 0)]
    assert marked == [best]
    assert [row.is_bound for row in board.rows] == [True, True, False, False, False]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1))
def test_the_marked_score_is_the_highest_number_of_all(scores):
    rows = tuple(Row(title=str(at), scores=(s,)) for at, s in enumerate(scores))
    board = Scoreboard(caption="", columns=(HIGHER,), rows=rows)
    marked = [row.scores[0] for row in rows if board.is_best(row, 0)]
    finite = [score for score in scores if math.isfinite(score)]
    if len(set(finite)) < 2:
        assert marked == []
    else:
        assert set(marked) == {max(finite)}


def test_the_lines_show_every_row_and_star_the_best():
    board = overall([HIGHER], {"source": gray(9)}, {"a": gray(1), "b": gray(2)})
    head, source, a, b = board.lines()
    assert "Brightness ↑" in head
    assert source.split() == ["source", "9.000"]
    assert a.split() == ["a", "1.000"]
    assert b.split() == ["b", "2.000*"]


def test_the_source_scores_best_by_the_metrics_of_its_modalities(subject):
    catalog = discover()
    base = attrs.evolve(catalog.find_base("tiny-world"), metrics=None)
    columns = columns_of(subject, base, catalog.modalities)
    assert [column.modality for column in columns] == ["edge", "vis"]
    assert [column.metric for column in columns] == ["Edge F1", "Blur SSIM"]
    assert columns[0].meaning.startswith("F1 of the Canny edges")
    for column in columns:
        assert column.measure(subject.frames) == pytest.approx(1)
        assert not column.judged


JUDGE = """
class Judge:
    name, summary = "Redness", "how red it is"
    higher_is_better = True
    def __call__(self, video, clip):
        return float(video[..., 0].mean())
def metrics():
    return {"edge": Judge(), "seg": Judge(), "prompt": Judge()}
"""


def test_the_base_judges_what_has_no_metric_of_its_own(subject, tmp_path, monkeypatch):
    (tmp_path / "toy_judge.py").write_text(JUDGE)
    monkeypatch.syspath_prepend(tmp_path)
    catalog = discover()
    base = attrs.evolve(catalog.find_base("tiny-world"), metrics="toy_judge:metrics")
    columns = columns_of(subject, base, catalog.modalities)
    # edge has its own, seg is not shown, prompt is no modality.
    assert [column.modality for column in columns] == ["edge", "vis", "prompt"]
    judged = columns[-1]
    assert judged.judged
    assert (judged.metric, judged.meaning) == ("Redness", "how red it is")
    assert judged.measure(subject.frames) == float(subject.frames[..., 0].mean())
    alone = attrs.evolve(subject, clip=None)
    assert [c.modality for c in columns_of(alone, base, catalog.modalities)] == [
        "edge",
        "vis",
    ]


ASKED = """
class Asked:
    name, summary = "Asked", "whether blue is asked for"
    higher_is_better = True
    def __call__(self, video, clip):
        return float("blue" in clip.prompt)
def metrics():
    return {"prompt": Asked()}
"""


def test_a_prompt_is_judged_by_what_was_asked_for(subject, tmp_path, monkeypatch):
    (tmp_path / "toy_asked.py").write_text(ASKED)
    monkeypatch.syspath_prepend(tmp_path)
    catalog = discover()
    base = attrs.evolve(catalog.find_base("tiny-world"), metrics="toy_asked:metrics")
    for prompt, score in (("blue cars", 1.0), ("red cars", 0.0)):
        asked = attrs.evolve(subject, prompt=prompt)
        *_, column = columns_of(asked, base, catalog.modalities)
        assert column.measure(subject.frames) == score


def test_a_region_is_judged_by_itself(subject):
    off = attrs.evolve(
        HIGHER,
        measure=lambda frames: float((frames != subject.frames).any(-1).mean()),
    )
    inside = subject.foreground >= 0.5
    wrong = np.where(inside[..., None], 255 - subject.frames, subject.frames)
    board = by_region([off], subject, {"inside": wrong, "outside": 255 - wrong})
    assert [column.region for column in board.columns] == ["foreground", "background"]
    share = inside.mean()
    assert board.rows[0].scores == pytest.approx((share, 0))
    assert board.rows[1].scores == pytest.approx((0, 1 - share))
