"""Places that cannot be written to, and mistakes in the other commands."""

import os
import shlex
import shutil

import pytest
import torch

EDGE = "--video in.mp4 --steps 1 --weights edge=edge.safetensors --control edge=0.5"

# Where results must not go, and what must be said of it.
TARGETS = {
    "no such folder": ("gone/out.mp4", "gone/out.mp4", "create it or choose another"),
    "no suffix": ("out", "output out", "name it something.mp4"),
    "another suffix": ("out.webm", "out.webm", "name it something.mp4"),
    "a folder": ("folder.mp4", "folder.mp4", "it is a folder; choose another name"),
    "the source itself": ("in.mp4", "replace the video", "choose another name"),
    "the source by another way": ("site/../in.mp4", "replace the video", "choose"),
    "a file that is no folder": ("in.mp4/out.mp4", "in.mp4", "create it or choose"),
}


@pytest.mark.parametrize("case", TARGETS.values(), ids=TARGETS)
def test_a_place_that_cannot_be_is_refused_before_the_work(case, refused):
    target, *parts = case
    (line,) = refused("generate", "--out", target, *shlex.split(EDGE))
    for part in parts:
        assert part in line


def test_results_never_replace_a_control_they_are_made_from(refused, desk, out):
    ready = out.parent.parent / "out.edge.mp4"
    shutil.copy(desk / "in.mp4", ready)
    (line,) = refused(
        *("generate", "--out", ready.with_name("out.mp4"), *shlex.split(EDGE)),
        *("--control-video", f"edge={ready}"),
    )
    assert f"writing {ready} would replace the control edge" in line


def test_a_full_disk_is_found_before_the_work(refused, out, monkeypatch):
    usage = shutil.disk_usage(out.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    (line,) = refused("generate", "--out", out, *shlex.split(EDGE))
    assert f"{out.parent} has 4.1 kB free but 10.0 MB are needed" in line
    assert "free some space" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_found_before_the_work(refused, out):
    out.parent.chmod(0o500)
    (line,) = refused("generate", "--out", out, *shlex.split(EDGE))
    assert "no permission; choose another folder" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(refused, out):
    (line,) = refused("generate", "--out", out, *shlex.split(EDGE), "--device", "cuda")
    assert "'cuda'" in line
    assert "give cpu" in line


# Other commands.
COMMANDS = {
    "a misspelt command": ("genrate", "'genrate'", "'generate'", "worldweave --help"),
    "no output": ("generate --video in.mp4", "--out", "generate --help"),
    "an argument too many": ("plugins all", "all", "plugins --help"),
    "training an unknown modality": ("train egde", "'egde'", "did you mean 'edge'"),
    "training without a recipe": ("train fog", "'fog'", "recipe"),
    "training for an unknown base": ("train edge --base tiny", "'tiny'", "tiny-world"),
    "training at a negative rate": (
        "train edge --learning-rate -1 --clips 1",
        "learning_rate -1",
        "above 0",
    ),
    "training on held-out clips": ("train edge --seed 999999", "999999", "choose"),
    "training from missing weights": (
        "train edge --clips 1 --init gone.safetensors",
        "gone.safetensors",
        "give edge.safetensors",
    ),
    "training on a strange device": ("train edge --device tpu", "'tpu'", "cuda"),
    "training for no steps": ("train edge --steps 0", "--steps", "equal to 1, not '0'"),
    "evaluating an unknown modality": ("evaluate egde", "'egde'", "'edge'"),
    "evaluating without weights": ("evaluate fog", "'fog'", "worldweave train fog"),
    "evaluating on an unknown base": ("evaluate edge --base t", "'t'", "tiny-world"),
    "evaluating on one clip": (
        "evaluate edge --clips 1",
        "--clips",
        "equal to 2, not '1'",
    ),
    "converting a missing file": (
        "convert gone.pt new.safetensors",
        "cannot read gone.pt",
    ),
    "converting words": ("convert words.txt new.safetensors", "words.txt"),
    "converting to another format": (
        "convert words.txt new.safetensors --dtype fp8",
        "'--dtype'",
        "'fp8'",
        "convert --help",
    ),
    "replaying nothing": (
        "replay gone.json --out {out}",
        "gone.json",
        "check the path",
    ),
    "replaying a video": ("replay in.mp4 --out {out}", "in.mp4", ".manifest.json"),
    "replaying words": ("replay words.txt --out {out}", "words.txt", ".manifest.json"),
    "replaying a folder": ("replay site --out {out}", "site", "check the path"),
}


@pytest.mark.parametrize("case", COMMANDS.values(), ids=COMMANDS)
def test_a_bad_command_is_refused(case, refused, out):
    command, *parts = case
    lines = refused(*shlex.split(command.format(out=out)))
    assert len(lines) == 1
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("demo gone.mp4 --out {out}", ["gone.mp4", "check the path"]),
        ("demo in.mp4 --out in.mp4", ["in.mp4", "is a file"]),
        ("demo --base tiny", ["'tiny'", "tiny-world"]),
    ],
)
def test_a_bad_demonstration_is_refused(command, parts, run, tmp_path):
    ran = run(*shlex.split(command.format(out=tmp_path / "shown")))
    assert ran.code == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("worldweave: ")
    for part in parts:
        assert part in line


def test_a_training_does_not_go_on_from_another(refused, tmp_path):
    from worldweave.train.states import States

    states = States(tmp_path)
    states.save(7, {"x": torch.zeros(1)}, {"recipe": "{}", "seed": "0"})
    (line,) = refused("train", "edge", "--clips", 1, "--out", tmp_path)
    assert str(states.place) in line
    assert "another --out folder" in line
