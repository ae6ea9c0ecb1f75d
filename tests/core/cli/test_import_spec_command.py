"""worldweave import-spec: the table, the request, and what stands in the way."""

import json

import pytest

from worldweave.cli import main

SPEC = {"prompt": "a street", "input_video_path": "in.mp4", "edge": {}, "seed": 3}
REQUEST = {
    "base": "cosmos-transfer1-7b",
    "prompt": "a street",
    "video": "in.mp4",
    "controls": {"edge": {"map": 0.5}},
    "seed": 3,
    "sigma_max": 70.0,
}
REFUSED = {**SPEC, "promt": "day", "vis": {"control_weight": "high"}}


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Write a file into the working folder."""
    monkeypatch.chdir(tmp_path)

    def put_(name, *lines):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("\n".join(texts), "utf-8")
        return name

    return put_


@pytest.fixture
def convert(capsys):
    """Run import-spec; return exit code, standard output and standard error."""

    def convert_(*arguments):
        capsys.readouterr()
        code = main(["import-spec", *map(str, arguments)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, printed.out, printed.err

    return convert_


def test_the_request_goes_to_standard_output_and_the_table_does_not(put, convert):
    code, out, err = convert(put("spec.json", SPEC))
    assert code == 0
    assert json.loads(out) == REQUEST
    header, *rows = err.splitlines()
    assert header.split() == ["KEY", "VERDICT", "WHAT"]
    column = header.index("VERDICT")
    assert all(row[column - 2 : column] == "  " for row in rows)
    assert {row.split()[0] for row in rows} >= {*SPEC, "(spec)", "(base)", "(files)"}


def test_the_request_goes_to_a_file_and_the_table_to_standard_output(
    put, convert, tmp_path
):
    code, out, err = convert(put("spec.json", SPEC), "--out", "request.json")
    assert (code, err) == (0, "")
    assert out.startswith("KEY")
    assert out.endswith("request.json: written\n")
    assert json.loads((tmp_path / "request.json").read_text("utf-8")) == REQUEST


def test_a_refused_key_keeps_the_request_from_being_written(put, convert, tmp_path):
    spec = put("spec.json", REFUSED)
    code, out, err = convert(spec, "--out", "request.json")
    assert code == 1
    assert "did you mean 'prompt'" in out
    assert err.splitlines() == [
        "worldweave: nothing is written, as 2 keys are refused; change the spec, or "
        "write the rest with --partial"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["spec.json"]
    code, out, err = convert(spec)
    assert (code, out) == (1, "")
    assert "vis.control_weight" in err


def test_partial_writes_what_can_be_had_and_still_tells(put, convert, tmp_path):
    spec = put("spec.json", REFUSED)
    assert convert(spec, "--out", "request.json", "--partial")[0] == 1
    assert json.loads((tmp_path / "request.json").read_text("utf-8")) == REQUEST
    assert json.loads(convert(spec, "--partial")[1]) == REQUEST


def test_names_of_a_transfer1_spec_count_from_the_working_folder(
    put, convert, tmp_path
):
    spec = put("assets/spec.json", SPEC)
    assert json.loads(convert(spec)[1])["video"] == "in.mp4"
    _, out, _ = convert(spec, "--out", "assets/request.json")
    moved = json.loads((tmp_path / "assets/request.json").read_text("utf-8"))
    assert moved["video"] == str(tmp_path / "in.mp4")
    assert "taken from the working directory, as released; they are rewritten" in out


def test_names_of_a_transfer25_spec_count_from_its_folder(put, convert, tmp_path):
    put("assets/prompt.txt", "by night\n")
    spec = {"video_path": "in.mp4", "prompt_path": "prompt.txt", "edge": {}}
    file = put("assets/spec.json", spec)
    made = json.loads(convert(file)[1])
    assert made["video"] == "assets/in.mp4"
    assert made["prompt"] == "by night"
    convert(file, "--out", "assets/request.json")
    kept = json.loads((tmp_path / "assets/request.json").read_text("utf-8"))
    assert kept["video"] == "in.mp4"


def test_a_batch_becomes_a_line_for_each_item(put, convert):
    lines = [{"prompt": "day", "visual_input": "a.mp4"}, {"prompt": "night"}]
    spec, batch = put("spec.json", SPEC), put("batch.jsonl", *lines)
    code, out, err = convert(spec, "--batch", batch)
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"name": "video_0", "prompt": "day", "video": "a.mp4"},
        {"name": "video_1", "prompt": "night"},
    ]
    assert "line 1: visual_input" in err


def test_whole_specs_become_whole_requests(put, convert):
    specs = [{"name": n, "video_path": f"{n}.mp4", "edge": {}} for n in "ab"]
    code, out, _ = convert(put("specs.jsonl", *specs), "--base", "tiny-world")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {
            "name": name,
            "base": "tiny-world",
            "video": f"{name}.mp4",
            "controls": {"edge": {"map": 1.0}},
        }
        for name in "ab"
    ]


def test_whose_spec_it_is_can_be_said(put, convert):
    spec = put("spec.json", {"edge": {"control_weight": 0.5}, "video_path": "a.mp4"})
    code, _, err = convert(spec, "--from", "transfer1")
    assert code == 1
    assert "read as Cosmos-Transfer1, as asked for" in err


def test_what_is_installed_is_looked_up(put, convert):
    spec = {"hdmap": {"input_control": "h.mp4"}, "upscale": {"input_control": "u.mp4"}}
    code, out, err = convert(put("spec.json", spec), "--partial")
    assert code == 1
    assert list(json.loads(out)["controls"]) == ["hdmap"]
    assert "no plugin here supplies 'upscale'" in err


#: Arguments beside a good spec, and part of what is said.
BAD_ARGUMENTS = {
    "another system": (["--from", "transfer3"], "give transfer1 or transfer2.5"),
    "a base nobody has": (["--base", "tiny-wold"], "tiny-wold"),
    "its own spec": (["--out", "spec.json"], "would replace what is read"),
    "a folder that is not": (["--out", "no/request.json"], "there is no folder"),
    "no batch": (["--batch", "gone.jsonl"], "check the path"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_a_bad_argument_is_told_in_one_line(case, put, convert, tmp_path):
    arguments, part = case
    code, _, err = convert(put("spec.json", SPEC), *arguments)
    assert code == 2
    (line,) = err.splitlines()
    assert part in line
    assert json.loads((tmp_path / "spec.json").read_text()) == SPEC
    assert [path.name for path in tmp_path.iterdir()] == ["spec.json"]


#: What a file holds, and part of what is said.
BAD_FILES = {
    "nothing": ("", "is not JSON"),
    "a list": ("[]", "must be a JSON object"),
    "nan": ('{"seed": NaN}', "NaN"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "a key twice": ('{"seed": 1, "seed": 2}', "given twice"),
    "many digits": ('{"seed": ' + "9" * 5000 + "}", "too many digits"),
}


@pytest.mark.parametrize("case", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_spec_is_told_in_one_line(case, put, convert):
    text, part = case
    code, out, err = convert(put("spec.json", text))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("worldweave: spec.json")
    assert part in line


def test_a_file_that_is_no_text_is_told(put, convert, tmp_path):
    put("spec.json")
    (tmp_path / "spec.json").write_bytes(b"\xff\xfe\x00")
    assert "is not text" in convert("spec.json")[2]
    assert "check the path" in convert("gone.json")[2]
    assert "check the path" in convert(tmp_path)[2]
