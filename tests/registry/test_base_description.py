"""A base says what it is and cannot say what it is not."""

from fractions import Fraction
from typing import Any

import pytest

from worldweave_registry import Base, DescriptionError, Lazy


def base(**changes: Any) -> Base:
    fields: dict[str, Any] = {
        "name": "tiny-world",
        "summary": "Streets at laptop size",
        "license": "Apache-2.0",
        "config": "tiny.config:CONFIG",
        "autoencoder": "tiny.autoencoder:load",
        "text_encoder": "tiny.words:load",
        "chunk_frames": 9,
        "sizes": [[64, 96]],
        "fps": 24,
    }
    return Base(**(fields | changes))


def test_a_base_is_described_by_plain_values() -> None:
    described = base(clips="tiny.clips:clips")
    assert described.config == Lazy("tiny.config:CONFIG")
    assert described.clips == Lazy("tiny.clips:clips")
    assert described.sizes == ((64, 96),)
    assert described == base(clips="tiny.clips:clips", sizes=((64, 96),))


def test_a_frame_rate_may_be_a_fraction() -> None:
    assert base(fps=Fraction(30000, 1001)).fps == Fraction(30000, 1001)


@pytest.mark.parametrize("name", ["tiny-world", "cosmos-transfer1-7b", "sd3.5", "a_b"])
def test_a_sound_name_is_accepted(name: str) -> None:
    assert base(name=name).name == name


@pytest.mark.parametrize("name", ["", "Tiny", "7b", "tiny world", "-a", "a-", "a@b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(DescriptionError, match="Base has name "):
        base(name=name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("summary", ""),
        ("license", ""),
        ("chunk_frames", 0),
        ("chunk_frames", 9.0),
        ("strides", (4,)),
        ("strides", 4),
        ("strides", (4, 0)),
        ("strides", (4, 8.0)),
        ("sizes", []),
        ("sizes", (64, 96)),
        ("sizes", [(64, 0)]),
        ("sizes", [(64, 96, 3)]),
        ("sizes", [("64", "96")]),
        ("sizes", 64),
        ("sizes", "64x96"),
        ("fps", 0),
        ("fps", -24.0),
        ("fps", True),
        ("weights", ["x"]),
        ("metadata", {"a": 1}),
    ],
)
def test_a_base_refuses_what_cannot_be(field: str, value: Any) -> None:
    with pytest.raises(DescriptionError, match=f"Base 'tiny-world' has {field} "):
        base(**{field: value})


def test_the_message_shows_how_sizes_are_written() -> None:
    with pytest.raises(DescriptionError) as caught:
        base(sizes=(64, 96))
    assert str(caught.value) == (
        "Base 'tiny-world' has sizes (64, 96); expected a list of "
        "(height, width) in pixels, such as [(704, 1280)]"
    )


def test_what_else_is_trained_is_named_by_paths() -> None:
    described = base(trainings={"judge": "tiny.judge:build"})
    assert described.trainings == {"judge": Lazy("tiny.judge:build")}
    assert hash(described) == hash(base(trainings={"judge": "tiny.judge:build"}))
    assert base().trainings == {}


@pytest.mark.parametrize("name", ["base", "Judge", "", "my judge"])
def test_a_training_has_a_name_the_command_can_tell_apart(name: str) -> None:
    with pytest.raises(DescriptionError, match=r"has trainings .*; expected a mapping"):
        base(trainings={name: "tiny.judge:build"})


def test_trainings_are_import_paths() -> None:
    with pytest.raises(DescriptionError, match="import path 'judge' is not text like"):
        base(trainings={"judge": "judge"})
    with pytest.raises(DescriptionError, match=r"has trainings .*; expected a mapping"):
        base(trainings=["tiny.judge:build"])


def test_a_base_may_bring_metrics_and_tell_the_foreground() -> None:
    described = base(metrics="tiny.judge:metrics", foreground="tiny.judge:foreground")
    assert described.metrics == Lazy("tiny.judge:metrics")
    assert described.foreground == Lazy("tiny.judge:foreground")
    assert base().metrics is None
    assert base().foreground is None


@pytest.mark.parametrize("field", ["metrics", "foreground"])
def test_what_a_base_brings_is_named_by_its_path(field: str) -> None:
    with pytest.raises(DescriptionError, match="import path 'judge' is not text like"):
        base(**{field: "judge"})
