"""Released quirks of preprocessors appear with compat, and only then."""

from worldweave.request.check import examine
from worldweave.request.spec import Control, Request
from worldweave_plugins.edge.preprocess import Canny
from worldweave_registry import discover


def preprocessor(**fields):
    request = Request(video="unread.mp4", seed=1, **fields)
    _, prepared, _ = examine(request, discover())
    return prepared["edge"].preprocessor


def test_without_compat_the_preset_is_used():
    assert preprocessor(controls={"edge": Control(map=1.0)}) == Canny()


def test_with_compat_the_thresholds_are_drawn_from_the_seed():
    drawn = preprocessor(controls={"edge": Control(map=1.0)}, compat="cosmos-transfer1")
    assert drawn == Canny.released(1)


def test_an_option_wins_over_compat():
    asked = Control(map=1.0, options={"threshold": "low"})
    chosen = preprocessor(controls={"edge": asked}, compat="cosmos-transfer1")
    assert chosen == Canny(threshold="low")
