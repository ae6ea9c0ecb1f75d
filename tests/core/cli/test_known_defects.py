"""What users of other systems met, and must never meet here: one test for each."""

import json
import shlex
import sys

import numpy as np
import pytest

from worldweave.io import video

WEIGHTS = "--weights edge=edge.safetensors --weights vis=vis.safetensors "
JOB = "--video in.mp4 --steps 1 --guidance 0 " + WEIGHTS

SEER = """
import numpy, worldweave

@worldweave.hookimpl
def worldweave_map(prompt, video):
    red = (video[..., 0] > 150) & (video[..., 1] < 100)
    return (red if "car" in prompt else red & False).astype(numpy.float32)
"""


@pytest.fixture
def seer(tmp_path, monkeypatch):
    """A plugin that sees red cars, for every modality."""
    site = tmp_path / "seeing"
    info = site / "acme_eye-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_eye.py").write_text(SEER)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-eye\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\neye = acme_eye\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "acme_eye", raising=False)


@pytest.fixture
def planned(run):
    """What the plan says of a request, as data."""

    def planned_(command, code=0):
        ran = run("plan", *shlex.split(command), "--json", "--memory", 1000)
        assert ran.code == code, ran.stderr
        return json.loads(ran.stdout)

    return planned_


def form(name, value):
    return f"--control {shlex.quote(f'{name}={json.dumps(value)}')} "


def shares(plan, region="everywhere", chunk=0):
    (found,) = [
        share["values"]
        for share in plan["shares"]
        if (share["region"], share["chunk"]) == (region, chunk)
    ]
    return found


@pytest.mark.parametrize("zero", ["0", "0.0", "-0.0"])
def test_a_number_zero_beside_a_map_stays_zero(planned, desk, tmp_path, zero):
    """Defect A: there, zero beside a map was taken for nothing given and became one."""
    np.save(tmp_path / "half.npy", np.full((10, 4, 4), 0.5, np.float32))
    maps = f"--control edge={zero} --control vis={tmp_path}/half.npy"
    plan = planned(JOB + maps)
    assert shares(plan) == {"vis": 0.5}
    assert plan["left_out"] == {"edge": "its map is 0"}


def test_a_map_longer_than_a_chunk_keeps_its_times(planned, desk, clip, tmp_path):
    """Defect B: there, a map of many chunks was squeezed into the first."""
    video.write(tmp_path / "in.mp4", np.concatenate([clip[:9]] * 3), 24)
    values = np.zeros((27, 2, 2), np.float32)
    values[18:] = 1
    np.save(tmp_path / "late.npy", values)
    plan = planned(
        f"--video {tmp_path}/in.mp4 --overlap 0 --steps 1 {WEIGHTS}"
        f"--control edge={tmp_path}/late.npy --control vis=0"
    )
    told = [shares(plan, chunk=chunk)["edge"] for chunk in range(3)]
    assert told == [0, 0, 1]
    assert plan["runs"]["edge"]["evaluations"] == 2


@pytest.mark.usefixtures("seer")
@pytest.mark.parametrize("name", ["edge", "vis", "depth", "seg", "hdmap", "lidar"])
def test_a_prompt_makes_the_map_of_every_modality(clip, desk, name):
    """Defect C: there, a prompt for a map was heeded for one modality alone."""
    from worldweave import Control, Request
    from worldweave.maps import Prompt
    from worldweave.request.plan import make_plan
    from worldweave_registry import discover

    other = "vis" if name == "edge" else "edge"
    request = Request(
        video=clip,
        controls={
            name: Control(map=Prompt(prompt="the red car"), video=clip),
            other: Control(map=0.25),
        },
    )
    plan = make_plan(request, discover(), lambda *_: [])
    red = (clip[..., 0] > 150) & (clip[..., 1] < 100)
    wanted = red.reshape(10, 8, 8, 12, 8).mean(axis=(2, 4))
    np.testing.assert_allclose(plan.maps[name], wanted, atol=1e-6)
    assert plan.maps[other].item() == 0.25


@pytest.mark.usefixtures("seer")
def test_a_prompt_reaches_the_video(run, out):
    """Defect C, to the end: the map of a prompt is what the branch runs with."""
    command = JOB + form("edge", {"prompt": "the red car"}) + "--control vis=0.3"
    ran = run("generate", "--out", out, *shlex.split(command))
    assert ran.code == 0, ran.stderr
    manifest = json.loads(out.with_name("out.manifest.json").read_text())
    assert {"branch edge", "branch vis"} <= set(json.dumps(manifest).split('"'))


@pytest.mark.parametrize("zero", ["0", "dark.npy", '{"rule": "sky -> 0; else -> 0"}'])
def test_a_control_that_is_off_is_told(run, out, desk, tmp_path, zero):
    """Defect D: there, shipped examples had a control at zero and nobody was told."""
    np.save(tmp_path / "dark.npy", np.zeros((4, 4), np.float32))
    video.write_png(tmp_path / "labels.png", np.zeros((64, 96, 3), np.uint8))
    labels = {"file": str(tmp_path / "labels.png"), "classes": {"sky": [0, 0, 0]}}
    spec = tmp_path / "request.json"
    plain = {"video": str(desk / "in.mp4"), "steps": 1, "labels": labels}
    spec.write_text(json.dumps(plain))
    zero = zero.replace("dark.npy", str(tmp_path / "dark.npy"))
    ran = run(
        *("generate", "--out", out, "--spec", spec, *shlex.split(WEIGHTS)),
        *("--control", f"edge={zero}", "--control", "vis=0.5"),
    )
    assert ran.code == 0, ran.stderr
    assert "edge did not run: its map is 0" in ran.stdout
    assert "vis did not run" not in ran.stdout
    assert not out.with_name("out.edge.mp4").exists()


@pytest.mark.usefixtures("seer")
def test_a_prompt_that_finds_nothing_stops_the_run(refused, run, out):
    """Defect E: there, nothing found was printed and the run went on without a mask."""
    command = JOB + form("edge", {"prompt": "a rabbit"})
    (line,) = refused("generate", "--out", out, *shlex.split(command))
    assert "'a rabbit' is nowhere in the video" in line
    assert "allow_empty" in line
    allowed = JOB + form("edge", {"prompt": "a rabbit", "allow_empty": True})
    ran = run("generate", "--out", out, *shlex.split(allowed))
    assert ran.code == 0, ran.stderr
    assert "edge did not run: its map is 0 everywhere" in ran.stdout


@pytest.mark.parametrize(
    ("edge", "key"),
    [
        ({"control_wieght": 0.5}, "control_wieght"),
        ({"input_control": "e.mp4"}, "input_control"),
        ({"control_weight_prompt": "the car"}, "control_weight_prompt"),
        ({"map": {"rule": "a -> 1", "els": 0}}, "map.els"),
        (
            {"map": {"boxes": [{"box": [0, 0, 1, 1], "weight": 1}]}},
            "map.boxes[0].weight",
        ),
        ({"schedule": {"linaer": [1, 0]}}, "schedule.linaer"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "plan"])
def test_an_unknown_key_is_refused_at_any_depth(run, out, tmp_path, edge, key, command):
    """Defect F: there, keys inside a control were not looked at and fell away."""
    spec = tmp_path / "request.json"
    spec.write_text(json.dumps({"video": "in.mp4", "controls": {"edge": edge}}))
    how = ["--out", out, "--spec", spec] if command == "generate" else [spec]
    ran = run(command, *how)
    assert ran.code == 2
    (line,) = ran.stderr.splitlines()
    assert f"controls.edge.{key} is unknown" in line
    assert not out.exists()


def test_numbers_alone_share_one(planned, generate_effective):
    """Defect G: there, numbers without any map added up beyond one."""
    plan = planned(JOB + "--control edge=0.9 --control vis=0.6")
    assert shares(plan) == {"edge": pytest.approx(0.6), "vis": pytest.approx(0.4)}
    assert generate_effective(edge=0.9, vis=0.6) == {
        "edge": pytest.approx(0.6),
        "vis": pytest.approx(0.4),
    }


@pytest.fixture
def generate_effective(pipeline, clip):
    def run_(**maps):
        made = pipeline.generate("", video=clip[:1], maps=maps, steps=1, guidance=0.0)
        return {name: float(values.mean()) for name, values in made.effective.items()}

    return run_


def test_flags_win_over_the_file(planned, tmp_path, desk):
    """Defect H: there, a flag written with = lost against the request's file."""
    spec = tmp_path / "request.json"
    controls = {"edge": {"map": 0.2, "weights": str(desk / "edge.safetensors")}}
    plain = {"video": str(desk / "in.mp4"), "steps": 7, "seed": 1, "controls": controls}
    spec.write_text(json.dumps(plain))
    plan = planned(f"{spec} --steps=3 --seed 5 --control=edge=0.4")
    assert (plan["request"]["steps"], plan["request"]["seed"]) == (3, 5)
    assert shares(plan) == {"edge": pytest.approx(0.4)}
    assert plan["runs"]["edge"]["evaluations"] == 8
