"""A manifest makes the same bytes again, or says why it cannot."""

import json
import os
import shlex
import shutil

import numpy as np
import pytest

import worldweave
from worldweave.cli import main

JOB = (
    "generate --video in.mp4 --prompt 'a street' --control edge=ramp.npy "
    "--weights edge=edge.safetensors --option edge.threshold=low --steps 1 --seed 5 "
    "--overlap 2 --sigma-max 20 --guidance 0 --out out.mp4"
)
INPUTS = ("in.mp4", "ramp.npy", "edge.safetensors")


@pytest.fixture(scope="module")
def original(shared_desk, tmp_path_factory):
    """A folder with a generated video and all it was made from."""
    folder = tmp_path_factory.mktemp("original")
    for name in INPUTS:
        shutil.copy(shared_desk / name, folder)
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert main(shlex.split(JOB)) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    """A copy to spoil; its manifest names the files of the copy."""
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    manifest = copy / "out.manifest.json"
    manifest.write_text(manifest.read_text().replace(str(original), str(copy)))
    return copy


def change(folder, edit):
    path = folder / "out.manifest.json"
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
    return path


def test_a_replay_gives_the_same_bytes(original, run, out):
    manifest = original / "out.manifest.json"
    ran = run("replay", manifest, "--out", out)
    assert ran.code == 0
    assert ran.stdout == f"{out}: the same bytes as {manifest} records\n"
    for name in ("out.mp4", "out.edge.mp4"):
        made, kept = out.with_name(name), original / name
        assert made.read_bytes() == kept.read_bytes()


def test_a_replay_can_be_replayed(folder, run, out):
    run("replay", folder / "out.manifest.json", "--out", out)
    again = out.with_name("again.mp4")
    assert run("replay", out.with_name("out.manifest.json"), "--out", again).code == 0
    assert again.read_bytes() == (folder / "out.mp4").read_bytes()


def test_what_was_enabled_from_python_can_be_replayed(desk, run, out):
    ww = worldweave.load()
    ww.enable("edge", weights="edge.safetensors")
    ww.generate("a street", video=desk / "in.mp4", steps=1).save(out)
    again = out.with_name("again.mp4")
    assert run("replay", out.with_name("out.manifest.json"), "--out", again).code == 0


def test_another_result_is_told_with_what_may_be_the_reason(folder, run, out):
    def edit(record):
        record["output"]["sha256"] = "0" * 64
        record["versions"]["torch"] = "1.0"
        record["weights"]["base dit"] = "0" * 64

    ran = run("replay", change(folder, edit), "--out", out)
    assert ran.code == 1
    first, *reasons = ran.stdout.splitlines()
    assert first.startswith(f"{out}: not the bytes that")
    assert any(reason.startswith("  torch was 1.0, is ") for reason in reasons)
    assert "  weights of base dit have changed" in reasons
    assert len(reasons) == 2


def test_without_a_known_reason_it_says_so(folder, run, out):
    manifest = change(folder, lambda record: record["output"].update(sha256="0"))
    ran = run("replay", manifest, "--out", out)
    assert ran.stdout.splitlines()[1:] == [
        "  versions and weights are the same: another machine, perhaps"
    ]


@pytest.mark.parametrize("name", INPUTS)
def test_a_changed_input_is_refused(name, folder, refused, out):
    with open(folder / name, "ab") as file:
        file.write(b"x")
    (line,) = refused("replay", folder / "out.manifest.json", "--out", out)
    assert f"{folder / name} has changed since; put the old file back" in line


def test_all_inputs_that_are_gone_are_named(folder, refused, out):
    for name in INPUTS:
        (folder / name).unlink()
    lines = refused("replay", folder / "out.manifest.json", "--out", out)
    assert lines == [
        f"video: {folder / 'in.mp4'} is gone; put it back",
        f"map edge: {folder / 'ramp.npy'} is gone; put it back",
        f"weights edge: {folder / 'edge.safetensors'} is gone; put it back",
    ]


def test_arrays_cannot_be_replayed(pipeline, clip, refused, tmp_path, out):
    still = np.full((64, 96), 0.5, np.float32)
    pipeline.generate(video=clip, maps={"edge": still, "vis": 0}, steps=1).save(
        tmp_path / "array.mp4"
    )
    lines = refused("replay", tmp_path / "array.manifest.json", "--out", out)
    assert lines == [
        "video was an array uint8 10x64x96x3 in memory; save it to a file and "
        "generate from that",
        "map edge was an array float32 64x96 in memory; save it to a file and "
        "generate from that",
    ]


def test_a_replay_does_not_replace_its_input(folder, refused):
    target = folder / "in.mp4"
    (line,) = refused("replay", folder / "out.manifest.json", "--out", target)
    assert f"writing {target} would replace the video" in line


# What makes a manifest none, and what is said of it.
SPOILT = {
    "no request": (lambda record: record.pop("request"), "'request'"),
    "no machine": (lambda record: record.pop("machine"), "'machine'"),
    "no format": (lambda record: record.pop("format"), "'format'"),
    "a later format": (lambda record: record.update(format=2), "format is 2, not 1"),
    "no threads": (lambda record: record["machine"].update(threads=0), "threads"),
    "a dtype": (lambda record: record["machine"].update(dtype="int8"), "'int8'"),
    "a device": (lambda record: record["machine"].update(device="abacus"), "'abacus'"),
    "a field": (lambda record: record["request"].update(promt="x"), "promt is unknown"),
    "a value": (lambda record: record["request"].update(steps=-1), "steps is -1"),
}


@pytest.mark.parametrize("case", SPOILT.values(), ids=SPOILT)
def test_a_manifest_with_a_mistake_is_refused(case, folder, refused, out):
    edit, part = case
    (line,) = refused("replay", change(folder, edit), "--out", out)
    assert part in line
