"""One reader for JSON and one for YAML: strict, bounded, and text stays text."""

import json
import math
import os
from pathlib import Path

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given

from worldweave.request.plain import (
    DEEPEST,
    plain_of_json,
    plain_of_line,
    plain_of_yaml,
    read_object,
    read_plain,
    read_text,
    shown,
)
from worldweave.request.yaml_text import MOST
from worldweave_registry import Problems

BOM = "\ufeff"


def told(read, *arguments, **named):
    with pytest.raises(Problems) as caught:
        read(*arguments, **named)
    (line,) = caught.value.problems
    assert "\n" not in line
    assert len(line) < 400
    return line


def json_told(text):
    return told(plain_of_json, text, where="it")


def yaml_told(text):
    return told(plain_of_yaml, text, where="it")


# --- files -------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a{suffix}")
    line = told(read_plain, tmp_path / f"a{suffix}")
    assert line.endswith("it is not a regular file; check the path")
    line = told(read_object, tmp_path / f"a{suffix}", wanted="a table")
    assert "it is not a regular file" in line


def test_a_device_and_a_folder_are_refused(tmp_path):
    assert "not a regular file" in told(read_plain, Path("/dev/zero"))
    line = told(read_plain, tmp_path)
    assert line == f"cannot read {tmp_path}: Is a directory; check the path"


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_what_is_not_utf8_is_told_in_the_words_of_its_format(tmp_path, suffix):
    file = tmp_path / f"a.{suffix}"
    file.write_bytes(b'{"prompt": "caf\xe9"}')
    kind = suffix.upper()
    assert told(read_plain, file) == (
        f"{file} is not text (UTF-8) at byte 16; give a request in {kind}, "
        "saved as UTF-8"
    )


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_the_mark_of_utf8_is_no_part_of_a_file(tmp_path, name):
    (tmp_path / name).write_text(BOM + '{"prompt": "a"}', "utf-8")
    assert read_plain(tmp_path / name) == {"prompt": "a"}
    assert read_text(tmp_path / name) == '{"prompt": "a"}'


@pytest.mark.parametrize("read", [plain_of_json, plain_of_line, plain_of_yaml])
def test_the_mark_of_utf8_is_no_part_of_a_text(read):
    assert read(BOM + '{"a": 1}', where="it") == {"a": 1}


# --- JSON --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": NaN}', "NaN is no number of JSON at line 1, column 7"),
        ('{"a": -Infinity}', "-Infinity is no number of JSON at line 1, column 7"),
        (
            '{"a NaN": "\\" NaN",\n "b": Infinity}',
            "Infinity is no number of JSON at line 2, column 7",
        ),
    ],
)
def test_what_is_no_number_of_json_is_told_with_its_place(text, place):
    assert json_told(text) == f"it is not JSON: {place}; correct it there"


def test_all_keys_given_twice_are_told_each_once():
    with pytest.raises(Problems) as caught:
        plain_of_json('{"a": {"b": 1, "b": 2, "b": 3}, "c": 1, "c": 1}', where="it")
    assert [line[:21] for line in caught.value.problems] == [
        "it: 'b' is given twic",
        "it: 'c' is given twic",
    ]


def test_a_long_key_given_twice_is_cut():
    assert "kkk...kkk" in json_told('{"%s": 1, "%s": 1}' % (("k" * 10_000,) * 2))


def test_a_place_in_a_line_is_its_column():
    line = told(plain_of_line, '{"a": }', where="it: line 7")
    assert (
        line == "it: line 7 is not JSON: Expecting value at column 7; correct it there"
    )


def test_too_many_digits_are_told():
    line = "it has a number of too many digits; correct it"
    assert json_told('{"a": ' + "9" * 5000 + "}") == line
    assert yaml_told("a: " + "9" * 5000) == line


@pytest.mark.parametrize("read", [plain_of_json, plain_of_yaml])
def test_how_deep_a_request_may_be_does_not_depend_on_the_stack(read):
    def nested(levels):
        return '{"a": ' * levels + "1" + "}" * levels

    assert read(nested(DEEPEST), where="it")
    for levels in (DEEPEST + 1, 5000):
        line = told(read, nested(levels), where="it")
        assert line == "it is nested too deeply; keep it within 100 levels"


# --- YAML --------------------------------------------------------------------


def value_of(written):
    return plain_of_yaml(f"a: {written}", where="it")["a"]


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "no", "on", "off", "y", "n", "Yes", "NO", "On", "OFF"),
        *("True", "FALSE", "Null", "NULL", "truth", "trues", "nulls"),
        *("2024-01-01", "2024-13-45", "2024-01-01T10:00:00Z", "1:30", "1:30.5"),
        *("0o17", "0x1F", "0b11", "1_000", "1.2.3", "1e", "e3", ".", "-", "+", "="),
        *("<<", ".INF", ".NaN", "1 000", "12px", "--1"),
    ],
)
def test_what_is_neither_true_false_null_nor_a_decimal_number_is_text(text):
    if text in ("-",):  # begins a list
        text = '"-"'
    assert value_of(text) == text.strip('"')


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[("true", True), ("false", False)],
        *[("~", None), ("null", None), ("", None)],
        *[("0", 0), ("12", 12), ("-3", -3), ("+4", 4), ("010", 10), ("08", 8)],
        *[("1e3", 1000.0), ("1e-1", 0.1), ("1E+2", 100.0), ("-2e0", -2.0)],
        *[("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("-1.5e3", -1500.0)],
        *[(".inf", math.inf), ("-.inf", -math.inf)],
        *[("!!str 12", "12"), ("!!float 3", 3.0), ("!!int 7", 7), ('"true"', "true")],
    ],
)
def test_what_is_not_text_is_as_in_yaml_1_2(written, value):
    made = value_of(written)
    assert made == value
    assert type(made) is type(value)


def test_a_number_that_is_none_is_none():
    assert math.isnan(value_of(".nan"))


@pytest.mark.parametrize(
    "key", ["no", "off", "on", "y", "true", "null", "~", "14", "1e3", "1:30", "007"]
)
def test_keys_are_text_as_they_are_written(key):
    assert plain_of_yaml(f"{key}: {{{key}: 1}}", where="it") == {key: {key: 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!bool yes", "'yes' is neither true nor false at line 1, column 4"),
        ("a: !!int 0x1F", "'0x1F' is no whole number"),
        ("a: !!float x", "'x' is no number"),
        ("a: !!null x", "'x' is not null"),
        ("a: !!timestamp 2024-01-01", "could not determine a constructor"),
        ("a: !!binary aGVsbG8=", "could not determine a constructor"),
        ("a: !!set {a, b}", "could not determine a constructor"),
        ("a: !!python/name:os.system x", "could not determine a constructor"),
        ("a: !!map [1]", "expected a mapping, but found sequence"),
        ("a: !" + "t" * 10_000 + " 1", "could not determine a constructor"),
        ("[a]: 1", "a key must be text at line 1, column 1"),
        ("a: {<<: 3}", "<< takes a mapping or a list of them"),
        ("a: &a [*a]", "recursive"),
        ("a: *nobody", "undefined alias 'nobody'"),
        ("a: 1\n---\na: 2", "found another document at line 2, column 1"),
        ("a: \0", "special characters are not allowed"),
    ],
)
def test_yaml_that_is_no_plain_data_is_told_in_one_line(text, said):
    line = yaml_told(text)
    assert line.startswith("it is not YAML: ")
    assert said in line


@pytest.mark.parametrize("text", ["", "\n\n", "# a note\n", BOM, "---\n..."])
def test_a_yaml_file_without_a_request_is_empty(tmp_path, text):
    file = tmp_path / "a.yaml"
    file.write_text(text, "utf-8")
    if text.startswith("---"):
        assert read_plain(file) is None
    else:
        assert told(read_plain, file) == f"{file} is empty; give a request"


def test_a_merge_takes_what_is_not_there_from_the_first_that_has_it():
    text = (
        "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {w: 3, <<: [*a, *b], x: 3}\n"
        "d: {<<: {<<: *b, z: 4}}"
    )
    plain = plain_of_yaml(text, where="it")
    assert plain["c"] == {"w": 3, "x": 3, "y": 1, "z": 2}
    assert plain["d"] == {"y": 2, "z": 4}
    assert plain["a"] == {"x": 1, "y": 1}


def powers(first, item):
    """Eight lines, each of nine of the one before: nine to the eighth values."""
    lines = [f"a0: &a0 {first}"]
    for power in range(1, 8):
        nine = ", ".join([f"*a{power - 1}"] * 9)
        lines.append(f"a{power}: &a{power} " + item.format(nine))
    return "\n".join(lines)


def test_few_lines_of_aliases_cannot_become_much():
    bomb = powers("[x, x, x, x, x, x, x, x, x]", "[{}]")
    assert yaml_told(bomb).startswith(f"it holds more than {MOST} values")
    many = plain_of_yaml(powers("{x: 1}", "{{<<: [{}]}}"), where="it")
    assert many["a7"] == {"x": 1}


@pytest.mark.parametrize("form", ["*a", "{<<: *a}"])
def test_a_request_may_hold_so_many_values_and_no_more(form):
    thousand = "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\n"

    def times(count):
        return thousand + "b: [" + ", ".join([form] * count) + "]"

    assert len(plain_of_yaml(times(95), where="it")["b"]) == 95
    assert f"holds more than {MOST} values" in yaml_told(times(101))


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1 ~"), inner)
    ),
    max_leaves=6,
)


@given(plain)
def test_any_json_means_the_same_as_yaml(value):
    # PyYAML reads the escapes of a pair of surrogates as two letters.
    text = json.dumps(value, ensure_ascii=False)
    assert plain_of_yaml(text, where="it") == plain_of_json(text, where="it") == value


@given(plain)
def test_what_pyyaml_writes_is_read_as_it_was(value):
    """PyYAML quotes more than it must, and never less."""
    text = yaml.safe_dump(value, allow_unicode=True)
    assert plain_of_yaml(text, where="it") == value


# --- messages ----------------------------------------------------------------


@given(plain | st.lists(st.integers(), min_size=20) | st.text(min_size=100))
def test_whatever_is_shown_fits_on_a_line(value):
    assert len(shown(value)) <= 160
    assert "\n" not in shown(value)


def test_what_is_short_is_shown_whole():
    assert shown({"a": [1, "x\ny"]}) == "{'a': [1, 'x\\ny']}"
    assert shown([1] * 200_000) == "[1, 1, 1, 1, 1, 1, ...]"
