"""Files of specs are read strictly, and their file names stay true."""

import json
import os
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from worldweave.request.foreign import transfer1_controls, transfer25, translate
from worldweave.request.foreign.files import Importer, as_rows, as_text
from worldweave.request.foreign.reading import placed, read_lines, read_spec
from worldweave_registry import Problems, WorldweaveError

#: What is no spec, and what is said of it.
BAD = {
    "nothing": ("", "line 1, column 1"),
    "words": ("prompt: day", "is not JSON"),
    "a comment": ('{\n // a\n"edge": {}}', "line 2, column 2"),
    "a list": ("[]", "must be a JSON object, not list"),
    "null": ("null", "must be a JSON object, not NoneType"),
    "nan": ('{"seed": NaN}', "NaN is no number of JSON"),
    "infinity": ('{"seed": -Infinity}', "-Infinity is no number of JSON"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "a key twice": ('{"edge": {}, "edge": {}}', "'edge' is given twice"),
    "an inner key twice": ('{"e": {"a": 1, "a": 1}}', "'a' is given twice"),
    "many digits": ('{"seed": ' + "9" * 5000 + "}", "too many digits"),
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
hint_keys = st.sampled_from(
    [*transfer25.HINT_KEYS, *transfer1_controls.HINT_KEYS, "sigma_max"]
)
hints = st.dictionaries(hint_keys | st.text(), values, max_size=4)
specs = st.dictionaries(
    st.sampled_from(["prompt", "video_path", "sigma_max", "seed", "num_steps", "fps"])
    | st.sampled_from(["input_video_path", "is_av_sample", "name", "prompt_path"])
    | st.text(),
    values,
    max_size=4,
)
worlds = st.builds(
    lambda spec, controls: {**spec, **controls},
    specs,
    st.dictionaries(st.sampled_from(["edge", "vis", "seg", "depth"]), hints | values),
)


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_what_is_no_spec_is_told_in_one_line(case, tmp_path):
    text, part = case
    (tmp_path / "here.json").write_text(text)
    with pytest.raises(WorldweaveError, match="here") as caught:
        read_spec(tmp_path / "here.json")
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_bad_lines_are_told_at_once():
    text = '{"a": 1}\n\n[]\n{"a": 1, "a": 2}\n'
    with pytest.raises(Problems) as caught:
        read_lines(text, "here")
    first, second = caught.value.problems
    assert first.startswith("here: line 3 must be")
    assert second.startswith("here: line 4: 'a' is given twice")
    with pytest.raises(WorldweaveError, match="here is empty"):
        read_lines("\n \n", "here")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"prompt_path": "pipe.json", "video_path": "in.mp4"}))
    (entry,) = Importer().read(spec)
    (why,) = [n.what for n in entry.made.refused if n.path == "prompt_path"]
    assert "it is not a regular file; check the path" in why
    spec.write_text("{}")
    for read in (
        lambda: Importer().read(pipe),
        lambda: Importer().batch(spec, pipe),
        lambda: Importer().batch(pipe, spec),
    ):
        with pytest.raises(WorldweaveError, match="it is not a regular file"):
            read()


def test_the_mark_of_utf8_is_no_part_of_a_spec(tmp_path):
    for name in ("a.json", "a.jsonl"):
        (tmp_path / name).write_text('\ufeff{"seed": 3}', "utf-8")
        (entry,) = Importer().read(tmp_path / name)
        assert entry.made.request["seed"] == 3


def test_a_line_may_hold_the_line_ends_of_unicode():
    assert read_lines('{"a": "x\u2028y"}\r\n', "here") == [(1, {"a": "x\u2028y"})]


@pytest.mark.parametrize("flavour", [None, "transfer1", "transfer2.5"])
@settings(max_examples=60)
@given(spec=worlds)
def test_whatever_a_spec_holds_every_key_is_told_and_the_rest_is_a_request(
    flavour, is_request, spec
):
    made = translate(spec, flavour=flavour, makers={"edge": True, "seg": False})
    paths = [note.path for note in made.notes]
    for key, value in spec.items():
        assert key in paths
        known = made.request.get("controls", {}).get(key) is not None
        if isinstance(value, dict) and known:
            assert {f"{key}.{inner}" for inner in value} <= set(paths)
    is_request(made)
    json.dumps(made.request, ensure_ascii=False, allow_nan=False).encode()
    assert all("\n" not in note.what for note in made.notes)


REQUEST = {
    "prompt": "in.mp4",
    "video": "in.mp4",
    "controls": {
        "edge": {"map": {"product": [0.5, {"file": "maps/e.pt"}]}, "video": "/abs.mp4"},
        "vis": {"map": 1, "weights": "v.safetensors"},
    },
}


def test_names_stay_as_they_are_in_the_same_folder(tmp_path):
    assert placed(REQUEST, tmp_path, tmp_path / "x" / "..") == REQUEST


def test_names_hold_from_another_folder(tmp_path):
    origin, folder = tmp_path / "a", tmp_path / "a" / "maps"
    folder.mkdir(parents=True)
    moved = placed(REQUEST, origin, folder)
    assert moved["prompt"] == "in.mp4"
    assert moved["video"] == str(origin / "in.mp4")
    edge, vis = moved["controls"]["edge"], moved["controls"]["vis"]
    assert edge["map"] == {"product": [0.5, {"file": "e.pt"}]}
    assert edge["video"] == "/abs.mp4"
    assert vis == {"map": 1, "weights": str(origin / "v.safetensors")}


def write(path: Path, *lines) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    return path


SPEC = {
    "prompt": "a street",
    "input_video_path": "in.mp4",
    "edge": {"control_weight": 0.4},
    "seg": {"control_weight": 0.6, "input_control": "s.mp4"},
}


def batch(tmp_path, *lines, spec=SPEC):
    file = write(tmp_path / "spec.json", spec)
    entries = Importer().batch(file, write(tmp_path / "batch.jsonl", *lines))
    return entries, [json.loads(t) for t in as_text(entries, Path()).splitlines()]


def test_a_line_of_a_batch_holds_what_differs(tmp_path):
    entries, made = batch(
        tmp_path,
        {"prompt": "a lab", "visual_input": "b.mp4"},
        {"control_overrides": {"seg": {"control_weight": 0.1}}},
        {"prompt": "a street", "visual_input": ""},
    )
    controls = {"edge": {"map": 0.4}, "seg": {"map": 0.1, "video": "s.mp4"}}
    assert made == [
        {"name": "video_0", "prompt": "a lab", "video": "b.mp4"},
        {"name": "video_1", "controls": controls},
        {"name": "video_2"},
    ]
    rows = as_rows(entries, Path())
    assert ("line 1: visual_input", "became", "video 'b.mp4'") in rows
    assert ("line 2: control_overrides.seg.control_weight", "became", "map 0.1") in rows
    assert ("line 3: visual_input", "dropped") in [row[:2] for row in rows]
    # What all lines have in common is told once.
    assert ("edge.control_weight", "became", "map 0.4") in rows
    assert ("line 2: seg.control_weight", "dropped") in [row[:2] for row in rows]


def test_a_control_video_of_a_line_is_enough(tmp_path):
    spec = {"seg": {}}
    line = {"visual_input": "a.mp4"}
    line["control_overrides"] = {"seg": {"input_control": "s.mp4"}}
    entries, made = batch(tmp_path, line, spec=spec)
    assert not entries[0].made.refused
    assert made[0]["controls"] == {"seg": {"map": 0.5, "video": "s.mp4"}}
    assert made[0]["sigma_max"] == 70


#: A line of a batch, and part of what is said where it is refused.
BAD_LINES = [
    ({"promt": "x"}, "promt", "did you mean 'prompt'"),
    ({"visual_input": 5}, "visual_input", "no file name"),
    ({"control_overrides": []}, "control_overrides", "no object of controls"),
    ({"control_overrides": {"vis": {}}}, "control_overrides.vis", "add vis to the"),
    ({"control_overrides": {"sge": {}}}, "control_overrides.sge", "mean 'seg'"),
    ({"control_overrides": {"seg": 1}}, "control_overrides.seg", "no object"),
    (
        {"control_overrides": {"seg": {"control_wieght": 1}}},
        "control_overrides.seg.control_wieght",
        "did you mean",
    ),
]


@pytest.mark.parametrize(("line", "path", "part"), BAD_LINES)
def test_a_key_of_a_line_that_cannot_be_is_refused(line, path, part, tmp_path):
    entries, _ = batch(tmp_path, {}, line)
    assert not entries[0].made.refused
    (note,) = entries[1].made.refused
    assert note.path == path
    assert part in note.what


def test_a_batch_of_whole_specs_keeps_their_names(tmp_path):
    one = {"name": "a", "video_path": "a.mp4", "edge": {}}
    two = {"video_path": "b.mp4", "edge": {}}
    file = write(tmp_path / "specs.JSONL", one, two, one)
    entries = Importer().read(file)
    made = [json.loads(text) for text in as_text(entries, Path("/")).splitlines()]
    assert [line["name"] for line in made] == ["a", "video_1", "a"]
    assert made[1]["video"] == str(tmp_path / "b.mp4").removeprefix("/")
    assert [len(entry.made.refused) for entry in entries] == [0, 0, 1]
    assert (
        entries[2].made.refused[0].what == "'a' is the name of line 1 too; change one"
    )
    assert ("line 1: name", "became", "name 'a'") in as_rows(entries, Path("/"))


def test_the_kinds_of_batches_are_not_taken_for_each_other(tmp_path):
    lines = write(tmp_path / "b.jsonl", {"prompt": "x", "visual_input": "a.mp4"})
    with pytest.raises(WorldweaveError, match="--batch"):
        Importer().read(lines)
    spec = write(tmp_path / "s.json", {"video_path": "a.mp4", "edge": {}})
    with pytest.raises(WorldweaveError, match="whole specs; give that alone"):
        Importer().batch(spec, lines)


def test_a_row_is_one_line_whatever_a_key_holds(tmp_path):
    file = write(tmp_path / "s.json", {"a\nb\x1b[31m": 1, "edge": {"\ud800": 1}})
    rows = as_rows(Importer().read(file), tmp_path)
    assert all(cell.isprintable() for row in rows for cell in row)
    assert "a\\nb\\x1b[31m" in [row[0] for row in rows]
