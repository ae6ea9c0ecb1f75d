"""The main job, as a user types it: a controlled video from a flag or a JSON file."""

import json
import os
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from torch.nn.modules.module import register_module_forward_pre_hook

import worldweave
from worldweave.io import video

MAIN_JOB = (
    "generate --video in.mp4 --prompt 'a street by day' --control edge=0.6 "
    "--control vis=0.4 --weights edge=edge.safetensors --weights vis=vis.safetensors "
    "--steps 2 --seed 3"
)
FILES = [
    *("out.edge.mp4", "out.manifest.json", "out.mp4"),
    *("out.report.html", "out.vis.mp4"),
]


def names(out):
    return sorted(path.name for path in out.parent.iterdir())


@pytest.fixture(scope="module")
def first(shared_desk, tmp_path_factory):
    """What the main job wrote, run once for all the tests that look at it."""
    from worldweave.cli import main

    out = tmp_path_factory.mktemp("main") / "out.mp4"
    before = os.getcwd()
    os.chdir(shared_desk)
    try:
        assert main([*shlex.split(MAIN_JOB), "--out", str(out)]) == 0
    finally:
        os.chdir(before)
    return out


def test_it_writes_the_video_its_controls_and_a_manifest(first):
    assert names(first) == FILES
    for path in (first, first.with_name("out.edge.mp4")):
        made = video.read(path)
        assert made.frames.shape == (10, 64, 96, 3)
        assert made.fps == 24


def test_it_says_where_everything_is(run, out):
    ran = run(*shlex.split(MAIN_JOB), "--out", out)
    assert ran.code == 0
    assert ran.stdout.splitlines() == [
        f"{out}: 10 frames of 96x64, 24 fps",
        f"{out.with_name('out.edge.mp4')}: control edge",
        f"{out.with_name('out.vis.mp4')}: control vis",
        f"{out.with_name('out.report.html')}: report, for any browser",
        f"{out.with_name('out.manifest.json')}: manifest, for worldweave replay",
    ]


def test_it_says_when_the_source_is_scaled(run, out, clip, tmp_path):
    np.save(tmp_path / "tall.npy", clip[:1, :50, :40])
    run("generate", "--video", tmp_path / "tall.npy", "--steps", 1, "--out", out)
    ran = run("generate", "--video", tmp_path / "tall.npy", "--steps", 1, "--out", out)
    assert "the source is 40x50; tiny-world makes 96x64" in ran.stdout


def test_a_spec_gives_the_same_bytes_as_flags(first, run, out, desk, tmp_path):
    spec = tmp_path / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "video": str(desk / "in.mp4"),
                "prompt": "a street by day",
                "controls": {
                    "edge": {"map": 0.6, "weights": str(desk / "edge.safetensors")},
                    "vis": {"map": 0.4, "weights": str(desk / "vis.safetensors")},
                },
                "steps": 2,
                "seed": 3,
            }
        )
    )
    assert run("generate", "--spec", spec, "--out", out).code == 0
    assert out.read_bytes() == first.read_bytes()


def test_files_in_a_spec_are_looked_for_beside_it(
    run, desk, tmp_path, out, monkeypatch
):
    for name in ("in.mp4", "edge.safetensors", "ramp.npy"):
        (tmp_path / name).write_bytes((desk / name).read_bytes())
    edge = {"map": "ramp.npy", "weights": "edge.safetensors", "video": "in.mp4"}
    fields = {"video": "in.mp4", "steps": 1, "controls": {"edge": edge}}
    (tmp_path / "spec.json").write_text(json.dumps(fields))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("generate", "--spec", "../spec.json", "--out", out).code == 0


def test_flags_replace_the_fields_of_a_spec(run, out, desk, tmp_path):
    spec = tmp_path / "spec.json"
    controls = {"edge": {"map": 0.1, "weights": str(desk / "edge.safetensors")}}
    fields = {"video": "gone.mp4", "seed": 1, "steps": 9, "controls": controls}
    spec.write_text(json.dumps(fields))
    flags = ("--video", "in.mp4", "--steps", 1, "--control", "edge=0.9")
    assert run("generate", "--spec", spec, *flags, "--out", out).code == 0
    request = json.loads(out.with_name("out.manifest.json").read_text())["request"]
    assert request["video"] == str(desk / "in.mp4")
    assert (request["seed"], request["steps"]) == (1, 1)
    assert request["controls"]["edge"]["map"] == 0.9
    assert request["controls"]["edge"]["weights"] == str(desk / "edge.safetensors")


def test_python_gives_the_same_bytes_as_the_command(first, desk, out):
    weights = {name: desk / f"{name}.safetensors" for name in ("edge", "vis")}
    ww = worldweave.load("tiny-world", modalities=["vis", "edge"], weights=weights)
    made = ww.generate(
        "a street by day",
        video=desk / "in.mp4",
        maps={"edge": 0.6, "vis": 0.4},
        steps=2,
        seed=3,
    )
    made.save(out)
    assert out.read_bytes() == first.read_bytes()
    assert names(out) == FILES


def test_an_option_reaches_the_preprocessor(run, out, desk):
    controls = []
    for low in (10, 400):
        ran = run(
            *("generate", "--video", "in.mp4", "--steps", 1, "--out", out),
            *("--control", "edge", "--weights", "edge=edge.safetensors"),
            *("--option", f"edge.low={low}", "--option", "edge.high=800"),
        )
        assert ran.code == 0
        controls.append(video.read(out.with_name("out.edge.mp4")).frames.mean())
    assert controls[0] > controls[1]


def test_a_map_of_zero_leaves_no_control_behind(run, out):
    ran = run(
        *("generate", "--video", "in.mp4", "--steps", 1, "--out", out),
        *("--control", "edge=0", "--weights", "edge=gone.safetensors"),
    )
    assert ran.code == 0
    assert "edge did not run: its map is 0" in ran.stdout.splitlines()
    assert names(out) == ["out.manifest.json", "out.mp4", "out.report.html"]


def test_no_report_where_none_is_wanted(run, out):
    flags = ("--steps", 1, "--no-report", "--out", out)
    assert run("generate", "--video", "in.mp4", *flags).code == 0
    assert names(out) == ["out.manifest.json", "out.mp4"]


def test_progress_goes_to_standard_error_alone(run, out):
    ran = run("generate", "--video", "in.mp4", "--steps", 1, "--out", out)
    assert "generating 4/4" in ran.stderr
    assert "generating" not in ran.stdout


def test_an_interrupt_leaves_nothing(run, out):
    """The real signal, sent when the base runs, as Ctrl-C would."""

    def press(module, arguments):
        if isinstance(module, worldweave.DiT):
            os.kill(os.getpid(), signal.SIGINT)

    # A shell that runs the tests in the background has told them to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pressed = register_module_forward_pre_hook(press)
    try:
        ran = run("generate", "--video", "in.mp4", "--steps", 2, "--out", out)
    finally:
        pressed.remove()
        signal.signal(signal.SIGINT, before)
    assert ran.code == 130
    assert ran.stderr == "worldweave: stopped; no half-written file is left\n"
    assert names(out) == []


LIMITED = """
import resource, sys
from worldweave.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("stopped", ["out.edge.mp4", "out.mp4"])
def test_a_disk_that_fills_up_leaves_nothing(desk, out, first, stopped):
    """Not even the files that were complete before the one that did not fit."""
    limit = first.with_name(stopped).stat().st_size - 1
    made = subprocess.run(
        [
            *(sys.executable, "-c", LIMITED, str(limit)),
            *(*shlex.split(MAIN_JOB), "--out", str(out)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 2
    assert made.stdout == ""
    *progress, last = made.stderr.splitlines()
    assert all(line.startswith("generating ") for line in progress)
    assert last.startswith(f"worldweave: cannot write {out.with_name(stopped)}")
    assert "ulimit -f" in last
    assert names(out) == []
