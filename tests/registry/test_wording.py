"""Messages are one line, whatever was raised."""

import attrs
import pytest

from worldweave_registry import PluginError, Problems, did_you_mean, one_line


def test_an_error_of_ours_speaks_for_itself() -> None:
    assert one_line(PluginError("no plugin supplies 'x'")) == "no plugin supplies 'x'"


def test_another_error_is_led_by_its_type() -> None:
    assert one_line(OSError(2, "No such file")) == (
        "FileNotFoundError: [Errno 2] No such file"
    )


def test_an_error_without_words_is_its_type() -> None:
    assert one_line(SystemExit()) == "SystemExit"


def test_many_lines_become_one() -> None:
    assert one_line(Problems(["a", "b"])) == "a; b"
    assert one_line(ValueError("bad hook\n\n  argument url")) == (
        "ValueError: bad hook; argument url"
    )


def test_the_tuple_behind_an_attrs_message_is_left_out() -> None:
    @attrs.frozen
    class Described:
        name: str = attrs.field(validator=attrs.validators.instance_of(str))

    with pytest.raises(TypeError) as caught:
        Described(3)  # type: ignore[arg-type]
    assert one_line(caught.value) == (
        "TypeError: 'name' must be <class 'str'> (got 3 that is a <class 'int'>)."
    )


def test_an_error_with_several_arguments_keeps_its_own_words() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        b"\xff".decode()
    assert "can't decode byte 0xff" in one_line(caught.value)


def test_a_near_word_is_suggested_whatever_its_case() -> None:
    assert did_you_mean("EDGE", ["depth", "edge"]) == "; did you mean 'edge'?"


def test_a_far_word_is_not_suggested() -> None:
    assert did_you_mean("thermal", ["depth", "edge"]) == ""
