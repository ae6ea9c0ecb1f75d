"""worldweave batch: what it prints, how it exits, and how it goes on when stopped."""

import json
import os
import signal
import subprocess
import sys

import pytest
from torch.nn.modules.module import register_module_forward_pre_hook

import worldweave

COMMON = {"steps": 1, "guidance": 0, "max_frames": 9}
LINES = [
    {"name": "one", "prompt": "a street by day"},
    {"name": "two", "controls": {"edge": {"map": 0.5}}},
    {"seed": 3},
]


@pytest.fixture
def write(desk, tmp_path):
    """Write lines as a batch, and the common request; return the arguments."""

    def write_(*lines):
        common, jobs = tmp_path / "common.json", tmp_path / "jobs.jsonl"
        common.write_text(json.dumps({"video": str(desk / "in.mp4"), **COMMON}))
        jobs.write_text("\n".join(json.dumps(line) for line in lines))
        return ["batch", jobs, "--spec", common, "--threads", 1]

    return write_


def rows(stdout):
    """The table: name, state and the rest of each line."""
    head, *lines = stdout.splitlines()
    assert head.split() == ["NAME", "STATE", "SECONDS", "PROBLEM"]
    at = [head.index(word) for word in ("STATE", "SECONDS", "PROBLEM")]
    return [
        (line[: at[0]].strip(), line[at[0] : at[1]].strip(), line[at[2] :])
        for line in lines[:-2]
    ]


def contents(folder):
    """What must not depend on how often it was stopped."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix == ".mp4" or path.name.endswith(".manifest.json")
    }


def test_a_batch_ends_with_a_table_and_an_exit_code(run, write, out):
    lines = [LINES[0], {"name": "bad", "sede": 1, "steps": "x"}]
    ran = run(*write(*lines), "--out", out.parent)
    assert ran.code == 1
    said = "sede is unknown; did you mean 'seed'?"
    first, second = rows(ran.stdout)
    assert first == ("one", "made", "")
    assert second[:2] == ("bad", "failed")
    assert second[2].endswith(" (and 1 more)")
    assert ran.stdout.splitlines()[-2] == "1 made, 1 failed"
    assert f"{out.parent / 'summary.json'}: " in ran.stdout
    *told, last = ran.stderr.splitlines()
    assert [line.startswith("worldweave: ") for line in told[:2]] == [True, True]
    assert any(line.endswith(f"jobs.jsonl: line 2 (bad): {said}") for line in told[:2])
    assert last.startswith("1 of 1: one made in ")

    # Mended, the batch goes on where it was.
    ran = run(*write(LINES[0], {"name": "bad", "seed": 1}), "--out", out.parent)
    assert ran.code == 0
    assert rows(ran.stdout) == [("one", "done before", ""), ("bad", "made", "")]


def test_a_batch_without_a_line_is_refused(write, refused, out):
    arguments = write()
    (line,) = refused(*arguments, "--out", out.parent)
    assert line.endswith("jobs.jsonl has no lines; give one JSON object a line")


def test_a_common_request_that_is_wrong_is_refused(write, refused, out, tmp_path):
    arguments = write(*LINES)
    (tmp_path / "common.json").write_text('{"sede": 1}')
    (line,) = refused(*arguments, "--out", out.parent)
    assert "common.json: sede is unknown; did you mean 'seed'?" in line


KILLED = """
import os, signal, sys
from torch.nn.modules.module import register_module_forward_pre_hook
import worldweave
from worldweave.cli import main
seen = []
def kill(module, arguments):
    if isinstance(module, worldweave.DiT):
        seen.append(module)
        if len(seen) == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
register_module_forward_pre_hook(kill)
main(sys.argv[2:])
"""


def test_a_batch_that_was_killed_goes_on_to_the_same_bytes(run, write, tmp_path):
    """SIGKILL when the base runs for the second item, of two evaluations each."""
    arguments = write(*LINES)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    command = [str(word) for word in (*arguments, "--out", torn)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "3", *command], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    summary = json.loads((torn / "summary.json").read_text("utf-8"))
    states = [item["state"] for item in summary["items"]]
    assert states == ["made", "waiting", "waiting"], summary
    resumed = run(*arguments, "--out", torn)
    assert [state for _, state, _ in rows(resumed.stdout)] == [
        "done before",
        "made",
        "made",
    ]
    assert run(*arguments, "--out", whole).code == 0
    assert contents(torn) == contents(whole)
    assert len(contents(whole)) == 7


def test_ctrl_c_keeps_what_is_done_and_says_so(run, write, out):
    """The real signal, sent when the base runs for the second item."""
    seen = []

    def press(module, arguments):
        if isinstance(module, worldweave.DiT):
            seen.append(module)
            if len(seen) == 3:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pressed = register_module_forward_pre_hook(press)
    try:
        ran = run(*write(*LINES), "--out", out.parent)
    finally:
        pressed.remove()
        signal.signal(signal.SIGINT, before)
    assert ran.code == 130
    assert ran.stderr.splitlines()[-1].startswith("worldweave: stopped; ")
    lines = ran.stdout.splitlines()[1:]
    assert [line.split()[1] for line in lines[:-1]] == ["made", "waiting", "waiting"]
    assert lines[-1] == "1 made, 2 waiting"
    assert {path.stem for path in out.parent.glob("*.mp4")} == {"one"}
