"""Requests as text: JSON and YAML say the same, and what is neither is told."""

import json

import pytest

from worldweave import Problems
from worldweave.request.structure import from_json, from_yaml, read_request, to_plain


def of_text(read, text):
    with pytest.raises(Problems) as caught:
        read(text, where="it")
    (line,) = caught.value.problems
    return line


YAML = """
# A street that keeps its cars.
prompt: a street at night
video: in.mp4
steps: 12
labels: {file: labels.mp4, classes: {car: [0, 0, 142]}}
controls:
  edge: 0.5
  vis:
    map:
      rule: car -> 1; else -> 0
    schedule: {linear: [1, 0.5]}
"""


def test_yaml_says_what_json_says():
    plain = {
        "prompt": "a street at night",
        "video": "in.mp4",
        "steps": 12,
        "labels": {"file": "labels.mp4", "classes": {"car": [0, 0, 142]}},
        "controls": {
            "edge": 0.5,
            "vis": {
                "map": {"rule": "car -> 1; else -> 0"},
                "schedule": {"linear": [1, 0.5]},
            },
        },
    }
    assert to_plain(from_yaml(YAML)) == to_plain(from_json(json.dumps(plain)))


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".YAML"])
def test_a_file_is_yaml_by_its_name(tmp_path, suffix):
    (tmp_path / f"r{suffix}").write_text(YAML)
    assert read_request(tmp_path / f"r{suffix}").steps == 12
    (tmp_path / "r.json").write_text(YAML)
    with pytest.raises(Problems, match=r"r\.json is not JSON"):
        read_request(tmp_path / "r.json")


def test_anchors_and_merges_of_yaml_work():
    text = (
        "controls:\n  edge: &a {map: 0.5, weights: w}\n  vis:\n    <<: *a\n    map: 0.1"
    )
    controls = from_yaml(text).controls
    assert (controls["edge"].map, controls["vis"].map) == (0.5, 0.1)
    assert controls["vis"].weights == "w"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (from_json, '{"seed": 1, "seed": 2}'),
        (from_json, '{"controls": {"edge": {"map": 1, "map": 0}}}'),
        (from_yaml, "seed: 1\nprompt: a\nseed: 2"),
        (from_yaml, "controls:\n  edge: {map: 1, map: 0}"),
        (from_yaml, "controls:\n  edge:\n    boxes:\n    - {box: [0,0,1,1], box: 3}"),
    ],
)
def test_a_key_given_twice_is_refused_at_any_depth(read, text):
    line = of_text(read, text)
    key = "box" if "box:" in text else "map" if "map" in text else "seed"
    assert line == f"it: {key!r} is given twice in one object; keep one of them"


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (
            from_json,
            '{"seed": }',
            "it is not JSON: Expecting value at line 1, column 10",
        ),
        (from_json, "", "it is not JSON"),
        (from_json, '{"seed": 1' + "0" * 5000 + "}", "number of too many digits"),
        (from_json, '{"seed": NaN}', "NaN is no number of JSON"),
        (from_json, "[" * 100_000, "nested too deeply"),
        (from_yaml, "a: [1, 2", "it is not YAML"),
        (from_yaml, "a: b: c", "at line 1, column 5; correct it"),
        (from_yaml, "seed: !!python/object/apply:os.system ['false']", "is not YAML"),
        (from_yaml, "seed: 2024-13-45", "seed: expected a whole number, got '2024-"),
        (from_yaml, "seed: 1:30", "seed: expected a whole number, got '1:30'"),
        (from_yaml, "seed: 0o17", "seed: expected a whole number, got '0o17'"),
        (from_yaml, "[" * 5000, "nested too deeply"),
        (from_yaml, "? [a]\n: 1", "it is not YAML"),
        (from_yaml, "", "it is empty; give a request"),
        (from_yaml, "- a", "it must be a JSON object, not list"),
        (from_yaml, "3: 4", "it: 3 is unknown"),
        (from_yaml, "controls: {edge: {3: 4}}", "controls.edge.3 is unknown"),
    ],
)
def test_text_that_is_no_request_is_told_in_one_line(read, text, said):
    line = of_text(read, text)
    assert said in line
    assert "\n" not in line
    assert len(line) < 400


def test_what_is_text_in_yaml_stays_text():
    request = from_yaml(
        "prompt: no\nnegative_prompt: 2024-01-01\nguidance: 1e-1\nsigma_max: 8e1\n"
        "labels: {file: on, classes: {off: '#000000', no: [1, 2, 3], 14: x}}\n"
        "controls: {off: {map: yes}}"
    )
    assert (request.prompt, request.negative_prompt) == ("no", "2024-01-01")
    assert (request.guidance, request.sigma_max) == (0.1, 80.0)
    assert request.labels.file == "on"
    assert list(request.labels.classes) == ["off", "no", "14"]
    assert request.controls["off"].map == "yes"


def test_aliases_that_become_much_are_refused_before_anything_is_told():
    text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for last, name in zip("abcdef", "bcdefg", strict=True):
        text += f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]\n"
    assert "holds more than 100000 values" in of_text(from_yaml, text + "seed: *g")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name, said in (("gone.json", "cannot read"), ("bytes.json", "is not text")):
        with pytest.raises(Problems, match=said):
            read_request(tmp_path / name)
