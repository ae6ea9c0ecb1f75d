"""Hooks are called one plugin at a time, and one failure stays alone."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from worldweave_registry import Catalog, Model, PluginError, WeightsError
from worldweave_registry import hooks as specifications

HEAD = "import worldweave_registry as ww\n"
FETCH = HEAD + "@ww.hookimpl({mark})\ndef worldweave_fetch(uri):\n    {body}\n"
Install = Callable[..., None]
Found = Callable[..., Catalog]


def fetches(body: str, mark: str = "") -> str:
    return FETCH.format(body=body, mark=mark)


def test_there_are_seven_hooks() -> None:
    assert {
        name for name in vars(specifications) if name.startswith("worldweave_")
    } == {
        "worldweave_modalities",
        "worldweave_bases",
        "worldweave_fetch",
        "worldweave_map",
        "worldweave_objects",
        "worldweave_foreground",
        "worldweave_models",
    }


def test_no_plugin_is_no_answer(found: Found) -> None:
    hook = found().hook
    assert hook.worldweave_fetch(uri="hf://a") is None
    assert hook.worldweave_map(prompt="a car", video=None) is None
    assert hook.worldweave_objects(prompt="a car", video=None) is None
    assert hook.worldweave_foreground(classifier="x", video=None, masks={}) is None
    assert hook.worldweave_models(task="map") is None


def test_the_first_that_knows_answers(install: Install, found: Found) -> None:
    install("acme-a", fetches("return None"))
    install("acme-b", fetches("return '/b' if uri == 'hf://b' else None"))
    install("acme-c", fetches("return '/c'"))
    hook = found("acme-a", "acme-b", "acme-c").hook
    assert hook.worldweave_fetch(uri="hf://b") == Path("/b")
    assert hook.worldweave_fetch(uri="hf://x") == Path("/c")


def test_a_plugin_may_ask_to_be_first_or_last(install: Install, found: Found) -> None:
    install("acme-a", fetches("return '/a'", "trylast=True"))
    install("acme-b", fetches("return '/b'"))
    install("acme-c", fetches("return '/c'", "tryfirst=True"))
    hook = found("acme-a", "acme-b", "acme-c").hook
    assert hook.worldweave_fetch(uri="x:y") == Path("/c")
    hook = found("acme-a", "acme-b").hook
    assert hook.worldweave_fetch(uri="x:y") == Path("/b")


def test_a_failing_plugin_does_not_keep_the_next_from_answering(
    install: Install, found: Found
) -> None:
    install("acme-a", fetches("raise OSError('network is down')"))
    install("acme-b", fetches("raise SystemExit(1)"))
    install("acme-c", fetches("return '/c'"))
    hook = found("acme-a", "acme-b", "acme-c").hook
    assert hook.worldweave_fetch(uri="hf://x") == Path("/c")


PANIC = "class Panic(BaseException): pass\n"


@pytest.mark.parametrize("error", ["Panic('ouch')", "GeneratorExit('ouch')"])
def test_what_is_no_exception_stays_with_its_plugin_too(
    install: Install, found: Found, error: str
) -> None:
    install("acme-a", PANIC + fetches(f"raise {error}"))
    install("acme-b", fetches("return '/b'"))
    assert found("acme-a", "acme-b").hook.worldweave_fetch(uri="x:y") == Path("/b")
    with pytest.raises(PluginError, match=r"depth@acme-a.*ouch"):
        found("acme-a").hook.worldweave_fetch(uri="x:y")


def test_failures_without_an_answer_are_told_with_their_plugins(
    install: Install, found: Found
) -> None:
    install("acme-a", fetches("raise ConnectionError('network is down')"))
    install("acme-b", fetches("return 3"))
    with pytest.raises(PluginError) as caught:
        found("acme-a", "acme-b").hook.worldweave_fetch(uri="hf://x")
    assert str(caught.value) == (
        "worldweave_fetch failed in plugin 'depth@acme-a': ConnectionError: network "
        "is down; 'depth@acme-b': TypeError: returned int, expected a path or None"
    )


def test_what_a_plugin_tells_the_user_is_not_reworded(
    install: Install, found: Found
) -> None:
    install("acme-a", fetches("raise ww.WeightsError('accept the licence first')"))
    with pytest.raises(WeightsError, match=r"^accept the licence first$"):
        found("acme-a").hook.worldweave_fetch(uri="hf://x")


def test_ctrl_c_during_a_fetch_passes(install: Install, found: Found) -> None:
    install("acme-a", fetches("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        found("acme-a").hook.worldweave_fetch(uri="hf://x")


def test_a_map_comes_back_as_the_plugin_made_it(install: Install, found: Found) -> None:
    install(
        "acme-words",
        HEAD
        + "@ww.hookimpl\ndef worldweave_map(video):\n    return video[..., 0] * 0.5\n",
    )
    video = np.ones((2, 3, 4, 3), np.uint8)
    map_ = found("acme-words").hook.worldweave_map(prompt="a car", video=video)
    assert map_.shape == (2, 3, 4)
    assert (map_ == 0.5).all()


def test_who_knows_the_classifier_answers(install: Install, found: Found) -> None:
    answer = "return dict.fromkeys(masks, True) if classifier == {!r} else None"
    for name in ("acme-a", "acme-b"):
        head = "@ww.hookimpl\ndef worldweave_foreground(classifier, masks):\n    "
        install(name, HEAD + head + answer.format(name))
    ask = found("acme-a", "acme-b").hook.worldweave_foreground
    assert ask(classifier="acme-b", video=None, masks={"car": 0}) == {"car": True}
    assert ask(classifier="acme-c", video=None, masks={"car": 0}) is None


MODELS = HEAD + "@ww.hookimpl\ndef worldweave_models(task):\n    {}\n"


def test_who_knows_the_task_tells_its_models(install: Install, found: Found) -> None:
    install("acme-a", MODELS.format("return [] if task == 'objects' else None"))
    told = "ww.Model(name='a judge', license='MIT', path='/m', bytes=3)"
    install("acme-b", MODELS.format(f"yield {told}"))
    ask = found("acme-a", "acme-b").hook.worldweave_models
    assert ask(task="map") == (
        Model(name="a judge", license="MIT", path=Path("/m"), bytes=3),
    )
    assert ask(task="objects") == ()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return ['a judge']", "returned a str, expected Models"),
        ("return [ww.Model(name='', license='MIT')]", "name ''"),
        ("return 3", "'int' object is not iterable"),
    ],
)
def test_models_that_cannot_be_are_their_plugin_s_fault(
    install: Install, found: Found, body: str, told: str
) -> None:
    install("acme-a", MODELS.format(body))
    with pytest.raises(PluginError, match=re.escape(told)):
        found("acme-a").hook.worldweave_models(task="map")


def test_tracing_tells_of_each_call_on_standard_error(
    install: Install, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme-a", fetches("raise OSError('down')"))
    install("acme-b", fetches("return '/b'"))
    found("acme-a", "acme-b", WORLDWEAVE_TRACE="1").hook.worldweave_fetch(uri="hf://x")
    assert capsys.readouterr() == (
        "",
        "worldweave: depth@acme-a worldweave_fetch(uri='hf://x') raised OSError: down\n"
        "worldweave: depth@acme-b worldweave_fetch(uri='hf://x') -> '/b'\n",
    )


def test_tracing_shows_the_shape_of_a_video_not_its_pixels(
    install: Install, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme-a", HEAD + "@ww.hookimpl\ndef worldweave_map():\n    return None\n")
    video = np.zeros((2, 3, 4, 3), np.uint8)
    found("acme-a", WORLDWEAVE_TRACE="1").hook.worldweave_map(prompt="x", video=video)
    assert capsys.readouterr().err == (
        "worldweave: depth@acme-a worldweave_map(prompt='x', "
        "video=ndarray(2, 3, 4, 3)) -> None\n"
    )


@pytest.mark.parametrize("value", ["", "0"])
def test_without_tracing_nothing_is_said(
    install: Install, found: Found, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    install("acme-b", fetches("return '/b'"))
    found("acme-b", WORLDWEAVE_TRACE=value).hook.worldweave_fetch(uri="hf://x")
    assert capsys.readouterr() == ("", "")
