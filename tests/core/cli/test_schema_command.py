"""worldweave schema prints what a request may be."""

import json

import jsonschema
import pytest

from worldweave.request.schema import json_schema


def test_the_schema_is_printed_and_nothing_else(run):
    ran = run("schema")
    assert (ran.code, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == json_schema()


def test_the_schema_is_written_where_told(run, tmp_path):
    file = tmp_path / "request.schema.json"
    ran = run("schema", "--out", file)
    assert (ran.code, ran.stdout) == (0, f"{file}: written\n")
    assert json.loads(file.read_text("utf-8")) == json_schema()
    with pytest.raises(jsonschema.ValidationError, match="treshold"):
        jsonschema.validate({"treshold": 1}, json.loads(file.read_text("utf-8")))


def test_a_folder_that_is_not_there_is_told(refused, out):
    (line,) = refused("schema", "--out", out.parent / "gone" / "s.json")
    assert "there is no folder" in line
