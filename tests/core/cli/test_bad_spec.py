"""Whatever is wrong with a JSON request: a line for each field, exit code 2."""

import json
import os

import pytest

FIELDS = {
    "a misspelt field": ({"promt": "day"}, " promt is", "did you mean 'prompt'"),
    "a field it never had": ({"zzz": 1}, " zzz is", "it may be: base"),
    "a misspelt field of a control": (
        {"controls": {"edge": {"mapp": 0.5}}},
        "controls.edge.mapp is unknown",
        "did you mean 'map'",
    ),
    "steps in words": ({"steps": "ten"}, "steps", "whole number", "'ten'"),
    "half a step": ({"steps": 2.5}, "steps", "whole number", "2.5"),
    "a seed that is true": ({"seed": True}, "seed", "whole number", "True"),
    "no seed": ({"seed": None}, "seed", "whole number", "None"),
    "guidance in words": ({"guidance": "much"}, "guidance", "a number", "'much'"),
    "a prompt of numbers": ({"prompt": 7}, "prompt", "text", "7"),
    "a null character in words": ({"prompt": "a\0b"}, "prompt", "text", "a\\x00b"),
    "a null character": ({"video": "in\0.mp4"}, "video", "file name", "in\\x00.mp4"),
    "a video by number": ({"video": 3}, "video", "file name", "3"),
    "a list of controls": ({"controls": ["edge"]}, "controls", "object", "['edge']"),
    "a control of nothing": ({"controls": {"edge": None}}, "controls.edge", "None"),
    "a map that is true": ({"controls": {"edge": True}}, "controls.edge", "True"),
    "a list for a map": ({"controls": {"edge": {"map": [1]}}}, "map", "[1]"),
    "a list of options": ({"controls": {"edge": {"options": []}}}, "options", "[]"),
    "weights by number": (
        {"controls": {"edge": {"weights": 1}}},
        "weights: expected a",
    ),
    "no name of a video": ({"video": ""}, " video: expected a file name, got ''"),
    "a list for a box": (
        {"controls": {"edge": {"boxes": [[0, 0, 1, 1]]}}},
        "controls.edge.map.boxes[0]: expected an object such as",
    ),
}
TEXTS = {
    "nothing": ("", "line 1, column 1"),
    "no JSON": ("prompt: day", "not JSON", "line 1, column 1"),
    "a comma too many": ('{"seed": 1,\n}', "not JSON", "line 2"),
    "a list": ("[]", "must be a JSON object", "list"),
    "a number": ("3", "must be a JSON object", "int"),
    "far too deep": ("[" * 100_000, "too deep"),
    "no number": ('{"seed": NaN}', "NaN is no number of JSON at line 1, column 10"),
}


@pytest.mark.parametrize("case", FIELDS.values(), ids=FIELDS)
def test_a_bad_field_of_a_spec_is_refused(case, refused, out, tmp_path):
    fields, *parts = case
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(fields))
    (line,) = refused("generate", "--spec", spec, "--out", out)
    assert str(spec) in line
    for part in parts:
        assert part in line


@pytest.mark.parametrize("case", TEXTS.values(), ids=TEXTS)
def test_a_spec_that_is_no_request_is_refused(case, refused, out, tmp_path):
    text, *parts = case
    spec = tmp_path / "spec.json"
    spec.write_text(text)
    (line,) = refused("generate", "--spec", spec, "--out", out)
    for part in (str(spec), *parts):
        assert part in line


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("gone.json", ["gone.json", "check the path"]),
        ("folder.mp4", ["folder.mp4", "check the path"]),
        ("in.mp4", ["in.mp4 is not text (UTF-8)", "give a request in JSON"]),
    ],
)
def test_a_spec_that_cannot_be_read_is_refused(spec, parts, refused, out):
    (line,) = refused("generate", "--spec", spec, "--out", out)
    for part in parts:
        assert part in line


def test_all_wrong_fields_of_a_spec_come_together(refused, out, tmp_path):
    spec = tmp_path / "spec.json"
    fields = {
        "promt": "",
        "steps": "x",
        "seed": 0.5,
        "controls": {"edge": [], "vis": {"a": 1}},
    }
    spec.write_text(json.dumps(fields))
    lines = refused("generate", "--spec", spec, "--out", out)
    for part in ("promt", "steps", "seed", "controls.edge", "controls.vis"):
        assert sum(part in line for line in lines) == 1
    assert len(lines) == 5


@pytest.mark.parametrize("command", ["generate", "plan", "batch", "import-spec"])
def test_a_pipe_is_refused_and_not_waited_for(command, refused, out, tmp_path):
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    arguments = {
        "generate": ["--spec", pipe, "--out", out],
        "plan": [pipe],
        "batch": [pipe, "--out", tmp_path / "made"],
        "import-spec": [pipe],
    }
    (line,) = refused(command, *arguments[command])
    assert line.endswith("pipe.jsonl: it is not a regular file; check the path")


def deep(levels):
    return '{"invert": ' * levels + "0.5" + "}" * levels


FLAGS = {
    "a map far too deep": ("--control", f"edge={deep(5000)}", "nested too deeply"),
    "a map rather deep": ("--control", f"edge={deep(101)}", "nested too deeply"),
    "a key twice in a map": (
        "--control",
        'edge={"rule": "a -> 1", "rule": "a -> 0"}',
        "'rule' is given twice in one object; keep one of them",
    ),
    "no number in a map": (
        "--control",
        'edge={"product": [NaN]}',
        "NaN is no number of JSON at column 14",
    ),
    "a map cut short": ("--control", 'edge={"rule": "a', "is not JSON", "column 10"),
    "an option with a key twice": (
        "--option",
        'edge.low={"a": 1, "a": 2}',
        "--option edge.low: ",
        "'a' is given twice",
    ),
    "an option far too deep": ("--option", "edge.low=" + "[" * 5000, "too deeply"),
    "a list cut short": ("--option", "edge.low=[1, 2", "edge.low: '[1, 2' is not JSON"),
}


@pytest.mark.parametrize("case", FLAGS.values(), ids=FLAGS)
def test_json_in_a_flag_is_read_as_strictly(case, refused, out):
    flag, value, *parts = case
    given = ["generate", "--video", "in.mp4", "--out", out]
    (line,) = refused(*given, flag, value)
    assert len(line) < 400
    for part in (flag, *parts):
        assert part in line


def test_what_is_no_json_in_an_option_is_text(refused, out):
    given = ["generate", "--video", "in.mp4", "--control", "edge", "--out", out]
    for value in ("NaN", "lwo", '"lwo"', "1e"):
        (line,) = refused(*given, "--option", f"edge.threshold={value}")
        assert value.strip('"') in line
        assert "JSON" not in line
