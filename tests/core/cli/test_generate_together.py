"""generate on several processes: one video, one voice, one end."""

import json
import os
import shlex
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from torch.distributed.elastic.rendezvous import RendezvousParameters

import worldweave.cli as cli
from worldweave.cli import job
from worldweave.io import video
from worldweave.parallel import launch

REQUEST = (
    "--video in.mp4 --prompt 'a street by day' --control edge=0.6 --control vis=0.4 "
    "--weights edge=edge.safetensors --weights vis=vis.safetensors --steps 1 --seed 3 "
    "--max-frames 9 --device cpu"
)
TOGETHER = "--gpus 2"

#: Python imports it at its start: harm that comes from outside.
HARM = """
import importlib.abc, os, sys

rank, _, what = os.environ.get("TEST_HARM", "").partition(" ")

def harm():
    import torch
    from worldweave.parallel.executor import InParallel
    if what == "old":
        torch.__version__ = "1.0"
        return
    was = InParallel.outputs
    calls = []
    def outputs(self, *given):
        calls.append(1)
        if len(calls) == 2:
            open(os.environ["TEST_HARMED"], "w").close()
            if what.startswith("raise"):
                raise RuntimeError("a bug on purpose")
            os.kill(os.getpid(), 9)
        return was(self, *given)
    InParallel.outputs = outputs

class Watcher(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "worldweave.parallel.job":
            sys.meta_path.remove(self)
            harm()

if rank and rank == os.environ.get("RANK"):
    sys.meta_path.insert(0, Watcher())
"""


@pytest.fixture
def start(shared_desk, tmp_path):
    """Start a command on the desk; what it leaves in its temporary folder is seen."""
    site, temporary = tmp_path / "site", tmp_path / "temporary"
    site.mkdir()
    temporary.mkdir()
    (site / "sitecustomize.py").write_text(HARM)
    running = []

    def start_(*words, harm=""):
        environment = os.environ | {
            "PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "TMPDIR": str(temporary),
            "TEST_HARM": harm,
            "TEST_HARMED": str(tmp_path / "harmed"),
            "OMP_NUM_THREADS": "1",
        }
        environment.pop("PYTHONWARNINGS", None)
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", *map(str, words)],
                cwd=shared_desk,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield start_
    for each in running:
        each.kill()
        each.communicate()
    left = {path.name for path in temporary.iterdir()}
    # torch leaves the folder of its compiler, with one process as with many.
    assert {name for name in left if not name.startswith("torchinductor")} == set()


@pytest.fixture
def together(start, out, tmp_path):
    """Run generate on two processes of this machine."""

    def together_(*flags, harm=""):
        words = [*shlex.split(f"{REQUEST} {TOGETHER}"), *flags, "--out", out]
        process = start("worldweave", "generate", *words, harm=harm)
        stdout, stderr = process.communicate(timeout=100)
        if "mid-step" in harm:
            assert time.time() - (tmp_path / "harmed").stat().st_mtime < 60
        return process.returncode, stdout, stderr

    return together_


def test_two_processes_make_the_video_of_one(together, run, out, tmp_path):
    code, stdout, stderr = together()
    assert code == 0, stderr
    alone = tmp_path / "alone.mp4"
    said = run("generate", *shlex.split(REQUEST), "--out", alone).stdout
    assert stdout == said.replace(str(alone.with_suffix("")), str(out.with_suffix("")))
    assert [line for line in stderr.splitlines() if "generating" not in line] == []
    ours, theirs = (video.read(file).frames.astype(int) for file in (out, alone))
    assert np.abs(ours - theirs).max() <= 1
    layout = json.loads(out.with_suffix(".manifest.json").read_text())["machine"]
    assert layout["layout"]["cfg"] == 2
    assert layout["threads"] == 1


def test_a_rank_that_raises_mid_step_ends_all_and_is_named_once(together, out):
    code, stdout, stderr = together(harm="1 raise mid-step")
    assert (code, stdout) == (1, "")
    told = [line for line in stderr.splitlines() if line.startswith("worldweave: ")]
    assert len(told) == 1, stderr
    assert told[0].startswith("worldweave: rank 1 of 2 (host ")
    assert told[0].endswith("RuntimeError: a bug on purpose")
    assert stderr.count("Traceback") == 1
    assert list(out.parent.iterdir()) == []


def test_a_rank_that_is_killed_mid_step_ends_all_and_is_named(together, out):
    code, stdout, stderr = together(harm="1 kill mid-step")
    assert (code, stdout) == (128 + 9, "")
    (line,) = [each for each in stderr.splitlines() if "generating" not in each]
    assert line.startswith("worldweave: rank 1 of 2 (host ")
    assert "was killed by SIGKILL" in line
    assert list(out.parent.iterdir()) == []


def test_other_versions_are_found_before_the_first_step(together, out):
    code, stdout, stderr = together(harm="1 old")
    assert (code, stdout) == (2, "")
    (line,) = stderr.splitlines()
    assert line.startswith("worldweave: rank 1 (host ")
    assert "has torch 1.0 but rank 0 has " in line
    assert list(out.parent.iterdir()) == []


def test_a_mistake_is_told_once_and_nothing_else(together, out):
    code, stdout, stderr = together("--layout", "cfg=2,ulysses=3")
    assert (code, stdout) == (2, "")
    first, second = stderr.splitlines()
    assert first.startswith("worldweave: --layout: ulysses is 3, which does not divide")
    assert second.startswith("worldweave: the layout cfg 2 x ring 1 x ulysses 3")
    assert list(out.parent.iterdir()) == []


def test_gpus_that_are_not_there_are_refused(run, out, monkeypatch):
    import torch

    for count, words in ((0, "add --device cpu"), (3, "has 3; give --gpus 3")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        flags = ["--device", "cuda", "--gpus", 4, "--out", out]
        ran = run("generate", *shlex.split(REQUEST), *flags)
        assert ran.code == 2
        assert words in ran.stderr


@pytest.mark.parametrize("device", ["nonsense", "mps", "cuda:0"])
def test_a_device_that_cannot_be_shared_is_refused(refused, out, device):
    flags = [*shlex.split(TOGETHER), "--device", device, "--out", out]
    (line,) = refused("generate", *shlex.split(REQUEST), *flags)
    assert device in line
    assert "give cuda" in line


def test_mistakes_in_the_request_are_told_before_anything_starts(
    refused, out, monkeypatch
):
    def started(*_):
        raise AssertionError("torchrun was started")

    monkeypatch.setattr(launch, "elastic_launch", started)
    words = shlex.split(f"{REQUEST} {TOGETHER}")
    (line,) = refused("generate", *words, "--out", out.with_suffix(".gif"))
    assert "has no suffix of a video" in line
    spec = out.parent.parent / "spec.json"
    spec.write_text('{"stepz": 3}')
    (line,) = refused("generate", *words, "--spec", spec, "--out", out)
    assert "did you mean 'steps'" in line


@pytest.fixture
def as_rank(monkeypatch):
    """Let this process look like one of two that torchrun has started."""

    def as_rank_(rank):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("LOCAL_RANK", str(rank))

    return as_rank_


def test_what_runs_in_one_process_is_refused_in_many_and_that_told_once(
    run, as_rank, out, monkeypatch
):
    monkeypatch.setattr(cli, "SILENT", 0.0)
    told = []
    for rank in (0, 1):
        as_rank(rank)
        ran = run("replay", "made.manifest.json", "--out", out)
        assert ran.code == 2
        told += ran.stderr.splitlines()
    assert told == [
        "worldweave: worldweave replay runs in one process; start it without torchrun"
    ]


def test_where_a_silent_process_leaves_the_one_that_tells_has_had_its_time(
    run, as_rank, monkeypatch
):
    monkeypatch.setattr(cli, "SILENT", 0.5)
    as_rank(1)
    begun = time.monotonic()
    assert run("replay", "made.manifest.json").stderr == ""
    assert time.monotonic() - begun > 0.5


def test_only_who_has_started_all_says_that_ctrl_c_stopped_them(
    run, as_rank, out, monkeypatch
):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "given", stopped)
    words = shlex.split(f"{REQUEST} {TOGETHER}")
    ran = run("generate", *words, "--out", out)
    assert (ran.code, ran.stderr.count("stopped")) == (130, 1)
    monkeypatch.setattr(cli, "_refuse_torchrun", stopped)
    as_rank(0)
    ran = run("generate", *words, "--out", out)
    assert (ran.code, ran.stderr) == (130, "")


def ended(tmp_path, code, rank=0):
    """Return what the launcher makes of a process that ends without a note."""
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    failure = ProcessFailure(
        local_rank=rank, pid=1, exitcode=code, error_file=str(tmp_path / "none")
    )
    return launch._told({rank: failure}, 2)


def test_the_launcher_tells_only_what_a_process_could_not(tmp_path, capsys):
    for code in (2, 3):
        assert ended(tmp_path, code) == code
    assert capsys.readouterr().err == ""
    # Any other end is never a silent one.
    assert ended(tmp_path, 1) == 1
    assert "rank 0 of 2" in capsys.readouterr().err
    # Of a machine's processes the first speaks.
    assert ended(tmp_path, 3, rank=1) == 3
    assert "rank 1 of 2" in capsys.readouterr().err


def test_only_a_kill_may_be_memory_that_ran_out(tmp_path, capsys):
    assert ended(tmp_path, -9) == 128 + 9
    assert "SIGKILL; the system's log may tell why" in capsys.readouterr().err
    assert ended(tmp_path, -11) == 128 + 11
    assert capsys.readouterr().err.endswith("was killed by SIGSEGV\n")


def test_what_a_job_listens_on_is_reached_from_this_machine_alone():
    parameters = RendezvousParameters("worldweave", "", "one", 1, 1)
    meeting = launch.OnThisMachine(parameters)
    found = meeting.next_rendezvous().bootstrap_store_info
    assert found.master_addr == "127.0.0.1"
    with pytest.raises((ConnectionRefusedError, TimeoutError)):
        socket.create_connection(("127.0.0.2", found.master_port), timeout=5).close()
    with socket.create_connection((found.master_addr, found.master_port), timeout=5):
        pass


def test_a_layout_needs_processes(refused, out):
    flags = ["--layout", "cfg=2", "--out", out]
    (line,) = refused("generate", *shlex.split(REQUEST), *flags)
    assert "give --gpus as well" in line


def test_a_layout_that_is_none_is_refused_before_anything_starts(refused, out):
    flags = [*shlex.split(TOGETHER), "--layout", "cgf=2", "--out", out]
    (line,) = refused("generate", *shlex.split(REQUEST), *flags)
    assert "did you mean 'cfg'" in line


def test_replay_says_that_the_layout_was_another(run, out, tmp_path):
    assert run("generate", *shlex.split(REQUEST), "--out", out).code == 0
    manifest = out.with_suffix(".manifest.json")
    record = json.loads(manifest.read_text())
    assert record["machine"]["layout"] == {"cfg": 1, "ring": 1, "ulysses": 1}
    record["machine"]["layout"] |= {"cfg": 2, "ulysses": 4}
    again = tmp_path / "again.mp4"
    manifest.write_text(json.dumps(record))
    assert run("replay", manifest, "--out", again).code == 0
    record["output"]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(record))
    ran = run("replay", manifest, "--out", again)
    assert ran.code == 1
    assert (
        "  layout was cfg 2, ring 1, ulysses 4, is cfg 1, ring 1, ulysses 1: bits may "
        "differ"
    ) in ran.stdout.splitlines()
    # Before there were layouts there was one process.
    del record["machine"]["layout"]
    manifest.write_text(json.dumps(record))
    assert "layout" not in run("replay", manifest, "--out", again).stdout
