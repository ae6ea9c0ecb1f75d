"""The plan: what will run where and what it takes, and no weights are read."""

import json
import os
import shlex
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from worldweave.checkpoints import store, tensor_file
from worldweave.io import video

WEIGHTS = "--weights edge=edge.safetensors --weights vis=vis.safetensors "
JOB = f"plan --video in.mp4 --steps 2 --memory 1000 {WEIGHTS}"
CLASSES = {"sky": [0, 0, 0], "road": [200, 0, 0], "car": [0, 0, 200]}


@pytest.fixture
def planned(run):
    def planned_(command, code=0):
        ran = run(*shlex.split(JOB + command))
        assert ran.code == code, ran.stderr
        assert ran.stderr == ""
        return ran.stdout

    return planned_


@pytest.fixture
def data(planned):
    return lambda command, code=0: json.loads(planned(command + " --json", code))


@pytest.fixture
def without_models(tmp_path, monkeypatch):
    """No model of the grounding plugin is on this machine."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("WORLDWEAVE_GROUNDING", str(tmp_path))


@pytest.fixture
def eyes(tmp_path, monkeypatch, without_models):
    """A plugin that makes maps and says nothing of its models."""
    info = tmp_path / "site" / "acme_eyes-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "acme_eyes.py").write_text(
        "import worldweave\n\n\n@worldweave.hookimpl\n"
        "def worldweave_map(prompt, video):\n    return None\n"
    )
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-eyes\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\neyes = acme_eyes\n")
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture
def reads():
    """How often weights are loaded or a tensor is read, by whatever way."""
    counted = {"load": 0, "read_tensor": 0}
    watched = {
        store.load.__code__: "load",
        tensor_file.read_tensor.__code__: "read_tensor",
    }

    def profile(frame, event, _):
        if event == "call" and frame.f_code in watched:
            counted[watched[frame.f_code]] += 1

    sys.setprofile(profile)
    yield counted
    sys.setprofile(None)


@pytest.fixture
def spec(tmp_path, desk):
    """A request with labels of a sky, a road and a central car, on whole tokens."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[40:] = (200, 0, 0)
    picture[16:56, 32:64] = (0, 0, 200)
    video.write_png(tmp_path / "labels.png", picture)

    def written(**controls):
        plain = {
            "video": str(desk / "in.mp4"),
            "labels": {"file": str(tmp_path / "labels.png"), "classes": CLASSES},
            "controls": controls,
        }
        path = tmp_path / "request.yaml"
        path.write_text(json.dumps(plain))
        return str(path)

    return written


def rows(text, heading):
    """The rows of the table whose heading begins so, as words."""
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(heading))
    found = []
    for line in lines[first + 1 :]:
        if not line.strip():
            break
        found.append(line.split())
    return found


# --- what it says ------------------------------------------------------------


def test_it_says_what_runs_and_how_much_it_counts(planned):
    text = planned("--control edge=0.9 --control vis=0.6")
    assert text.splitlines()[0] == (
        "tiny-world on cpu: 10 frames of 96x64, 24 fps; 2 chunks of 9 frames that "
        "share 1, 7 frames padded at the end"
    )
    assert rows(text, "chunk") == [
        ["1-2", "everywhere", "100%", "0.600", "0.400", "0.000"]
    ]
    assert rows(text, "modality") == [
        ["edge", "loads", "runs", "at", "6", "of", "6", "evaluations"],
        ["vis", "loads", "runs", "at", "6", "of", "6", "evaluations"],
    ]
    assert "it fits" in text


def test_what_stays_out_is_told_with_its_reason(planned, tmp_path):
    np.save(tmp_path / "zero.npy", np.zeros((8, 12), np.float32))
    text = planned(f"--control edge=0 --control vis={tmp_path}/zero.npy")
    assert rows(text, "modality") == [
        ["edge", "stays", "out", "its", "map", "is", "0"],
        ["vis", "stays", "out", "its", "map", "is", "0", "everywhere"],
    ]
    assert "branch" not in [row[0] for row in rows(text, "weights")]


def test_without_any_modality_it_says_so(run):
    ran = run("plan", "--video", "in.mp4", "--memory", 1000)
    assert ran.code == 0
    assert "no modality: the prompt decides alone" in ran.stdout


def test_the_prompt_alone_has_what_is_left(planned):
    text = planned("--control edge=0.25 --control vis=0.5")
    assert rows(text, "chunk")[0][-1] == "0.250"


def test_all_weights_are_listed_with_size_licence_and_place(data):
    files = {
        file["what"]: file
        for file in data("--control edge=0.5 --control vis=0")["files"]
    }
    assert set(files) >= {"tiny-world dit", "branch edge"}
    assert "branch vis" not in files
    assert files["branch edge"]["bytes"] == os.path.getsize("edge.safetensors")
    assert files["tiny-world dit"]["license"] == "Apache-2.0"
    assert all(file["is_present"] for file in files.values())


def test_many_chunks_that_show_the_same_are_one_row(planned, clip, tmp_path):
    long = np.resize(clip, (90, *clip.shape[1:]))
    video.write(tmp_path / "in.mp4", long, 24)
    late = np.zeros((90, 1, 1), np.float32)
    late[45:] = 0.5
    np.save(tmp_path / "late.npy", late)
    text = planned(
        f"--video {tmp_path}/in.mp4 --overlap 0 --control vis=0.5 "
        f"--control edge={tmp_path}/late.npy"
    )
    assert rows(text, "chunk") == [
        ["1-5", "everywhere", "100%", "0.000", "0.500", "0.500"],
        ["6-10", "everywhere", "100%", "0.500", "0.500", "0.000"],
    ]
    assert rows(text, "modality")[0][3:7] == ["at", "15", "of", "30"]


def test_regions_of_a_rule_have_rows_of_their_own(data, spec):
    rule = {"rule": "car -> 1; road -> 0.5; else -> 0"}
    plan = data(spec(edge=rule, vis=0.25))
    found = {
        share["region"]: share["values"]
        for share in plan["shares"]
        if share["chunk"] == 0
    }
    car, road = found["car"], found["road"]
    assert car == pytest.approx({"edge": 1 / 1.25, "vis": 0.25 / 1.25}, abs=1e-6)
    assert road == pytest.approx({"edge": 0.5, "vis": 0.25}, abs=1e-6)
    assert set(found) >= {"everywhere", "car", "road"}
    everywhere = {s["region"]: s["pixels"] for s in plan["shares"] if s["chunk"] == 0}
    assert everywhere["car"] == pytest.approx(40 * 32 / (64 * 96))


def test_salient_objects_have_their_regions_and_reasons(planned, spec):
    text = planned(spec(edge={"foreground": 1, "background": 0.25}, vis=0))
    regions = {row[1]: row for row in rows(text, "chunk") if row[0] != "car"}
    assert regions["foreground"][2:4] == ["21%", "1.000"]
    assert regions["background"][2:4] == ["79%", "0.250"]
    assert "car is foreground: central" in text
    assert "sky is background" in text


def test_what_a_model_must_see_first_is_a_question(planned, data, eyes):
    command = '--control edge=0.5 --control \'vis={"prompt": "the car"}\''
    text = planned(command)
    assert rows(text, "chunk")[0][3:] == ["0.500", "?", "?"]
    assert "? a model has to look first" in text
    plan = data(command)
    assert plan["runs"]["vis"]["map"] == "needs a model"
    assert plan["runs"]["vis"]["evaluations"] == 6
    assert plan["shares"][0]["values"] == {"edge": 0.5, "vis": None}


def test_a_schedule_is_told_and_counted(planned, spec):
    edge = {"map": 1, "schedule": {"interval": [0.002, 0.01]}}
    text = planned(spec(edge=edge, vis=0))
    (row,) = [" ".join(row) for row in rows(text, "modality") if row[0] == "edge"]
    assert row == (
        "edge loads runs at 2 of 6 evaluations, where 0.002 <= sigma <= 0.01"
    )
    assert rows(text, "chunk")[0][3] == "0.333"


def test_a_request_and_flags_make_one_plan(data, spec):
    plan = data(spec(edge=0.5, vis=0.5) + " --control vis=0 --steps 4")
    assert plan["request"]["steps"] == 4
    assert list(plan["runs"]) == ["edge"]
    assert plan["video"] == {
        "frames": 10,
        "size": [64, 96],
        "source_size": [64, 96],
        "fps": 24.0,
        "chunks": [0, 8],
        "padded_frames": 7,
    }


def test_its_numbers_are_those_of_the_video_that_is_made(run, data, out):
    """The same command, planned and made: what loads, and how much each counts."""
    command = (
        '--control edge=0.9 --control \'vis={"boxes": [{"box": [0, 0, 0.5, 1]}]}\''
    )
    plan = data(command)
    how = shlex.split(f"--video in.mp4 --steps 2 {WEIGHTS}{command}")
    made = run("generate", "--out", out, *how)
    assert made.code == 0, made.stderr
    manifest = json.loads(out.with_name("out.manifest.json").read_text())
    assert plan["request"]["controls"].keys() == manifest["request"]["controls"].keys()
    told = {file["what"] for file in plan["files"] if file["what"].startswith("branch")}
    assert told == {name for name in manifest["weights"] if name.startswith("branch")}
    half = {"edge": 0.9 / 1.9, "vis": 1 / 1.9}
    wanted = {"edge": (0.9 + half["edge"]) / 2, "vis": half["vis"] / 2}
    for share in plan["shares"]:
        assert share["values"] == pytest.approx(wanted, abs=1e-6)


# --- how it ends -------------------------------------------------------------


def test_it_ends_with_3_where_the_memory_is_too_small(planned, data):
    text = planned("--control edge=0.5 --memory 0.01", code=3)
    assert "of 10.0 MB: IT WILL NOT FIT" in text
    plan = data("--control edge=0.5 --memory 0.01", code=3)
    assert plan["fits"] is False
    assert plan["peak_host_bytes"] > plan["memory"] == 10_000_000


def test_it_ends_with_1_where_weights_are_missing(planned, tmp_path):
    text = planned(
        "--base cosmos-transfer1-7b --control edge=0.5 --control vis=0.1", code=1
    )
    found = [row for row in rows(text, "weights") if "NO" in row]
    assert found
    assert "it fits" in text


def told_of_objects(spec, **objects):
    controls = {"edge": {"foreground": 1, "background": 0}}
    path = spec(**controls)
    with open(path) as stored:
        plain = json.load(stored) | {"objects": objects}
    with open(path, "w") as stored:
        json.dump(plain, stored)
    return path


@pytest.mark.usefixtures("without_models")
def test_models_of_plugins_that_are_missing_are_named(planned, data):
    command = '--control \'edge={"prompt": "car"}\''
    text = planned(command, code=1)
    found = [" ".join(row) for row in rows(text, "weights")]
    assert "model Grounding DINO 700.0 MB NO Apache-2.0" in found
    assert "maps from a prompt" not in text
    files = {file["what"]: file for file in data(command, code=1)["files"]}
    assert not files["model SAM 2"]["is_present"]
    assert (
        "run: hf download facebook/sam2-hiera-large" in files["model SAM 2"]["problem"]
    )


@pytest.mark.usefixtures("without_models")
def test_the_model_of_a_classifier_that_is_missing_is_named(planned, spec):
    text = planned(told_of_objects(spec, classifier="vlm"), code=1)
    assert "model a SmolVLM: the classifier 'vlm' needs a SmolVLM" in text
    assert "Grounding DINO" not in text
    text = planned(told_of_objects(spec, masks="a car."), code=1)
    assert "Grounding DINO" in text


@pytest.mark.usefixtures("eyes")
def test_models_that_are_not_told_are_not_known(planned, data):
    command = '--control \'edge={"prompt": "car"}\''
    text = planned(command)
    (row,) = [" ".join(row) for row in rows(text, "weights") if row[0] == "maps"]
    assert row == ("maps from a prompt ? ? a plugin's model; its files are not told")
    assert "Grounding" not in text
    assert data(command)["files"][-1]["is_present"] is None


def test_without_any_plugin_for_it_a_prompt_is_a_problem(planned, monkeypatch):
    monkeypatch.setenv("WORLDWEAVE_DISABLE", "grounding")
    text = planned('--control \'edge={"prompt": "car"}\'', code=1)
    assert "maps from a prompt: no plugin makes any; install one" in text


def test_too_small_counts_more_than_missing(planned):
    planned("--base cosmos-transfer1-7b --control edge=0.5 --memory 1", code=3)


def test_it_ends_with_2_where_the_request_is_wrong(run):
    ran = run(*shlex.split(JOB + "--control egde=0.5 --overlap 99"))
    assert ran.code == 2
    assert len(ran.stderr.splitlines()) == 2
    assert "did you mean 'edge'" in ran.stderr
    assert ran.stdout == ""


def test_on_a_gpu_elsewhere_only_its_own_memory_is_asked_for(planned):
    text = planned("--control edge=0.5 --device cuda --memory 1")
    assert "of 1.0 GB: IT WILL NOT FIT" not in text
    assert "peak memory on cuda: " in text
    if not torch.cuda.is_available():
        (host,) = [line for line in text.splitlines() if "of the host" in line]
        assert host.endswith("; what is free is not known")
    planned("--control edge=0.5 --device cuda --memory 0.1", code=3)


def test_names_are_shown_as_they_are(planned, spec, tmp_path, run):
    """rich would take brackets for its markup and words between colons for emoji."""
    path = spec(edge={"rule": "[/b], car -> 1; [b]*, :car: -> 0.5; else -> 0"})
    with open(path) as stored:
        plain = json.load(stored)
    plain["labels"]["classes"] = {
        "sky": [0, 0, 0], "car": [0, 0, 200], "[/b]": [200, 0, 0],
        "[b]road": [1, 1, 1], ":car:": [2, 2, 2],
    }  # fmt: skip
    with open(path, "w") as stored:
        json.dump(plain, stored)
    ran = run("plan", path, "--weights", "edge=w[/b].safetensors", "--memory", 1000)
    assert ran.code == 1, ran.stderr
    regions = [row[1:3] for row in rows(ran.stdout, "chunk")]
    assert ["[/b],", "car"] in regions
    assert ["[b]*,", ":car:"] in regions
    assert "branch edge: there is no file w[/b].safetensors" in ran.stdout


# --- what it costs -----------------------------------------------------------


def test_no_weights_are_read_and_nothing_is_written(planned, reads, desk, out):
    before = {path: path.stat().st_mtime_ns for path in desk.rglob("*")}
    planned("--control edge=0.5 --control vis=0.5")
    assert reads == {"load": 0, "read_tensor": 0}
    assert {path: path.stat().st_mtime_ns for path in desk.rglob("*")} == before


def test_the_counter_of_reads_can_fail(run, reads, out):
    run("generate", "--out", out, *shlex.split(f"--video in.mp4 --steps 1 {WEIGHTS}"))
    assert reads["load"] >= 3
    assert reads["read_tensor"] > 100


WATCHED = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
from worldweave.cli import main

try:
    main()
except SystemExit as ended:
    assert not ended.code, ended
print(json.dumps([sorted(sys.modules), opened]))
"""


@pytest.mark.usefixtures("desk")
def test_nothing_heavy_is_imported_and_no_weights_are_opened():
    """Most of its time is torch's import; nothing else may add to it."""
    begun = time.monotonic()
    command = [sys.executable, "-c", WATCHED, *shlex.split(JOB + "--control edge=0.5")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(f"a plan took {time.monotonic() - begun:.1f} s")
    modules, opened = json.loads(done.stdout.splitlines()[-1])
    tops = {name.partition(".")[0] for name in modules}
    assert "torch" in tops
    assert not tops & {"transformers", "diffusers", "huggingface_hub", "scipy", "PIL"}
    assert any(name.endswith("in.mp4") for name in opened)
    assert not [name for name in opened if name.endswith((".safetensors", ".pt"))]
