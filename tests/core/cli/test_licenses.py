"""--licenses refuses code, weights and models under any other licence, all at once."""

import json
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import worldweave
from worldweave.generate.load import load
from worldweave.maps import Prompt
from worldweave_registry import LicenseError, Problems, discover

GPL, NC = "GPL-3.0-only", "CC-BY-NC-4.0"
OURS = "Apache-2.0"
MODALITY = """
import worldweave

@worldweave.hookimpl
def worldweave_modalities():
    return [worldweave.Modality(name={name!r}, summary="x", license={license!r},
        preprocessor="worldweave_plugins.edge.preprocess:Canny",
        weights=[worldweave.Weights(base="tiny-world", license={weights!r},
            uri="package:worldweave_{name}/weights/tiny-world.safetensors")])]
"""
EYES = """
import worldweave

@worldweave.hookimpl
def worldweave_map(prompt, video):
    raise SystemExit("it ran")

@worldweave.hookimpl
def worldweave_models(task):
    return [worldweave.Model(name="Eyes", license="CC-BY-NC-4.0")]
"""
PLUGINS = {
    "thermal": (MODALITY.format(name="thermal", license=GPL, weights=NC), GPL),
    "sonar": (MODALITY.format(name="sonar", license="ISC", weights="ISC"), "ISC"),
    "mist": (MODALITY.format(name="mist", license="MIT", weights=NC), "MIT"),
    "eyes": (EYES, "MIT"),
}
CODE = {
    "thermal": f"modality 'thermal' of worldweave-thermal 0.1.0: licence {GPL!r}",
    "sonar": "modality 'sonar' of worldweave-sonar 0.1.0: licence 'ISC' is not",
    "edge": f"modality 'edge' of worldweave {version('worldweave')}: licence",
}
WEIGHTS = {
    "thermal": "modality 'thermal': weights 'package:worldweave_thermal/",
    "sonar": "modality 'sonar': weights 'package:worldweave_sonar/",
    "mist": "modality 'mist': weights 'package:worldweave_mist/",
    "edge": "modality 'edge': weights 'package:worldweave_plugins.edge/",
}


@pytest.fixture(autouse=True)
def acme(tmp_path, monkeypatch):
    """Plugins of four licences, whose weights have others again."""
    site = tmp_path / "site"
    for name, (source, license) in PLUGINS.items():
        info = site / f"worldweave_{name}-0.1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"licensed_{name}.py").write_text(source)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: worldweave-{name}\nVersion: 0.1.0\n"
            f"License-Expression: {license}\n"
        )
        (info / "entry_points.txt").write_text(
            f"[worldweave.v1]\n{name} = licensed_{name}\n"
        )
    monkeypatch.syspath_prepend(site)
    # Whatever else is installed where the tests run must not answer.
    ours = ",".join(["worldweave", *(f"worldweave-{name}" for name in PLUGINS)])
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", ours)
    monkeypatch.setenv("WORLDWEAVE_DISABLE", "grounding")
    yield
    for name in PLUGINS:
        sys.modules.pop(f"licensed_{name}", None)


def starting(lines, *starts):
    """Check that each of *starts* begins exactly one line, and that is all."""
    assert len(lines) == len(starts), lines
    for start in starts:
        assert len([line for line in lines if line.startswith(start)]) == 1, start


JOB = "--video in.mp4 --control thermal --control sonar=0.5 --control edge"


@pytest.mark.parametrize("command", ["generate --out {out}", "plan"])
def test_all_that_is_refused_is_told_with_all_else_that_is_wrong(command, refused, out):
    lines = refused(
        *shlex.split(command.format(out=out)),
        *shlex.split(f"{JOB} --control egde --overlap -1 --licenses {OURS},MIT"),
    )
    starting(
        lines,
        *(CODE["thermal"], WEIGHTS["thermal"], CODE["sonar"], WEIGHTS["sonar"]),
        *("no plugin supplies the modality 'egde'", "overlap is -1"),
    )
    listed = f"not among those that --licenses allows ({OURS}, MIT); allow that too, or"
    assert len([line for line in lines if listed in line]) == 4


def test_the_page_on_publishing_shows_what_is_said(refused, out):
    page = Path(__file__).parents[3] / "docs" / "plugins" / "6-publishing.md"
    if not page.exists():
        pytest.skip("the docs are not part of the wheel")
    block = page.read_text().split("$ worldweave generate ")[1].split("```")[0]
    command, *told = block.splitlines()
    lines = refused("generate", *shlex.split(command.replace("out.mp4", str(out))))
    assert [f"worldweave: {line}" for line in lines] == told


def test_a_base_is_refused_with_its_weights_and_each_line_is_told_once(refused, out):
    lines = refused(
        *("generate", "--out", out, "--video", "in.mp4", "--control", "edge"),
        *("--licenses", "mit"),
    )
    parts = ("dit", "autoencoder", "text_encoder")
    place = "package:worldweave_plugins.tinyworld/weights"
    starting(
        lines,
        *("base 'tiny-world' of worldweave ", CODE["edge"], WEIGHTS["edge"]),
        *(f"weights '{place}/{part}.safetensors' ({part} for" for part in parts),
    )


def test_code_may_be_allowed_and_its_weights_not(refused, out):
    job = f"--video in.mp4 --control mist --control thermal --licenses {OURS},MIT,{GPL}"
    starting(
        refused("generate", "--out", out, *shlex.split(job)),
        *(WEIGHTS["mist"], WEIGHTS["thermal"]),
    )


def test_a_file_the_user_names_has_no_licence_that_could_be_refused(run, refused):
    job = "plan --video in.mp4 --control mist --weights mist=edge.safetensors --json"
    ran = run(*shlex.split(job), "--licenses", f"{OURS},MIT")
    assert ran.code == 0, ran.stderr
    assert "mist" in json.loads(ran.stdout)["runs"]
    job = job.replace("mist", "thermal")
    starting(refused(*shlex.split(job), "--licenses", OURS), CODE["thermal"])


def test_a_model_is_refused_before_it_runs_and_so_are_all_maps_it_would_make(
    refused, out
):
    maps = ('edge={"prompt": "car"}', 'vis={"prompt": "sky"}')
    job = ["--video", "in.mp4", "--licenses", f"{OURS},MIT"]
    job += (word for each in maps for word in ("--control", each))
    told = "worldweave_map has no answer; left out: model 'Eyes' of plugin 'eyes@"
    for command in (("generate", "--out", out), ("plan",)):
        starting(
            refused(*command, *job),
            *(f"map of 'edge': {told}", f"map of 'vis': {told}"),
        )
    job[3] += f",{NC}"
    assert any("it ran" in line for line in refused("generate", "--out", out, *job))


def test_a_classifier_is_refused_rather_than_unknown(refused, out, desk, tmp_path):
    request = {
        "video": str(desk / "in.mp4"),
        "objects": {"masks": "a car", "classifier": "vlm"},
        "controls": {"edge": {"map": {"foreground": 1, "background": 0}}},
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    source = EYES.replace("_map(prompt, video)", "_objects(prompt, video)")
    source += EYES.replace("_map(prompt, video)", "_foreground(classifier)")
    (tmp_path / "site" / "licensed_eyes.py").write_text(source)
    lines = refused(
        *("generate", "--out", out, "--spec", tmp_path / "request.json"),
        *("--licenses", OURS),
    )
    starting(lines, "map of 'edge': worldweave_objects has no answer; left out: ")
    assert "; worldweave_foreground has no answer; left out: plugin 'eyes@" in lines[0]


def test_a_learned_map_is_refused_for_its_weights(refused, out):
    lines = refused(
        *("generate", "--out", out, "--video", "in.mp4", "--licenses", "ISC"),
        *("--control", 'sonar={"learned": "base"}'),
    )
    assert any("(maps for 'tiny-world'): licence 'Apache-2.0'" in li for li in lines)


LATE = MODALITY.replace(
    "worldweave_plugins.edge.preprocess:Canny", "licensed_late:Late"
)
OPTION = "import attrs\n@attrs.frozen\nclass Late:\n    depth: int = 3\n"


@pytest.mark.parametrize(
    "command",
    [
        *("generate --out {out} --spec {spec}", "plan {spec}"),
        *("batch {jobs} --out {out}", "replay {manifest} --out {out}"),
    ],
)
def test_no_option_is_suggested_of_what_is_refused(
    command, run, out, desk, tmp_path, monkeypatch
):
    site = tmp_path / "site"
    source = LATE.format(name="mist", license="MIT", weights=NC)
    (site / "licensed_mist.py").write_text(source)
    (site / "licensed_late.py").write_text(OPTION)
    request = {"video": str(desk / "in.mp4"), "controls": {"mist": {"dept": 2}}}
    (tmp_path / "request.json").write_text(json.dumps(request))
    (tmp_path / "jobs.jsonl").write_text(json.dumps(request) + "\n")
    record = json.loads(manifest(tmp_path, desk).read_text())
    record["request"] = request
    (tmp_path / "a.manifest.json").write_text(json.dumps(record))
    job = shlex.split(
        command.format(
            out=out,
            spec=tmp_path / "request.json",
            jobs=tmp_path / "jobs.jsonl",
            manifest=tmp_path / "a.manifest.json",
        )
    )
    told = run(*job, "--licenses", OURS).stderr
    assert "controls.mist.dept is unknown; it may be: map, " in told
    assert "licensed_late" not in sys.modules
    told = run(*job, "--licenses", "MIT").stderr
    assert "did you mean 'options.depth'?" in told
    sys.modules.pop("licensed_late")


# Every command.


def manifest(folder, desk):
    request = {"video": str(desk / "in.mp4"), "controls": {"thermal": {"map": 0.5}}}
    record = {
        "format": 1,
        "request": {"base": "tiny-world", **request},
        "inputs": {},
        "weights": {},
        "output": {"sha256": ""},
        "machine": {"threads": 1, "device": "cpu", "dtype": "float32"},
        "versions": {},
    }
    path = folder / "a.manifest.json"
    path.write_text(json.dumps(record))
    return path


def test_replay_refuses_what_the_manifest_names(refused, out, desk, tmp_path):
    job = ("replay", manifest(tmp_path, desk), "--out", out, "--licenses", OURS)
    starting(refused(*job), CODE["thermal"], WEIGHTS["thermal"])


def test_batch_says_of_each_line_what_is_refused(run, desk, tmp_path):
    jobs = tmp_path / "jobs.jsonl"
    named = {"video": str(desk / "in.mp4"), "controls": {"thermal": 1, "mist": 1}}
    jobs.write_text(json.dumps(named) + "\n")
    ran = run("batch", jobs, "--out", tmp_path / "made", "--licenses", f"{OURS},MIT")
    assert ran.code == 1
    lines = [line.partition(": line 1 (0001): ")[2] for line in ran.stderr.splitlines()]
    starting(lines, CODE["thermal"], WEIGHTS["thermal"], WEIGHTS["mist"])


@pytest.mark.parametrize(
    ("job", "starts"),
    [
        ("thermal", (CODE["thermal"], WEIGHTS["thermal"])),
        ("mist", (WEIGHTS["mist"],)),
        ("thermal --weights edge.safetensors", (CODE["thermal"],)),
        (
            "tiny-world --modalities thermal,edge,mist",
            (CODE["thermal"], WEIGHTS["thermal"], WEIGHTS["mist"]),
        ),
    ],
)
def test_evaluate_refuses_before_it_loads(job, starts, refused):
    job = f"evaluate {job} --clips 2 --steps 1 --licenses {OURS},MIT"
    starting(refused(*shlex.split(job)), *starts)


def test_bench_refuses_the_base(refused):
    lines = refused("bench", "--licenses", "MIT")
    starting(lines, "base 'tiny-world' of worldweave ")


@pytest.mark.parametrize(
    "command",
    [
        *("generate --out {out}", "plan", "batch {jobs} --out {out}", "bench"),
        *("replay {manifest} --out {out}", "evaluate edge"),
    ],
)
@pytest.mark.parametrize(
    ("listing", "told"),
    [("Apache 2.0", "did you mean 'Apache-2.0'?"), ("", "lists no licence; give SPDX")],
)
def test_a_listing_that_cannot_be_meant_is_told(
    command, listing, told, refused, out, desk, tmp_path
):
    (tmp_path / "jobs.jsonl").write_text('{"video": "in.mp4"}\n')
    command = command.format(
        out=out, jobs=tmp_path / "jobs.jsonl", manifest=manifest(tmp_path, desk)
    )
    (line,) = refused(*shlex.split(command), "--licenses", listing)
    assert line.startswith("--licenses ")
    assert told in line


def test_the_variable_restricts_and_the_flag_replaces_it(refused, monkeypatch):
    job = shlex.split("plan --video in.mp4 --control edge --control egde")
    wrong = "no plugin supplies the modality 'egde'"
    monkeypatch.setenv("WORLDWEAVE_LICENSES", "MIT")
    lines = refused(*job)
    assert "is not among those that WORLDWEAVE_LICENSES allows (MIT)" in lines[0]
    starting(refused(*job, "--licenses", OURS), wrong)
    monkeypatch.setenv("WORLDWEAVE_LICENSES", "no licence at all")
    assert refused(*job)[0].startswith("WORLDWEAVE_LICENSES has 'no licence at all'")
    starting(refused(*job, "--licenses", OURS), wrong)


# What takes all there is, or tells what is missing.


def test_a_plan_refuses_weights_rather_than_call_them_missing(refused):
    lines = refused(
        *("plan", "--video", "in.mp4", "--control", "mist", "--licenses", f"{OURS},MIT")
    )
    starting(lines, WEIGHTS["mist"])


def test_whoever_takes_all_modalities_leaves_out_those_that_are_refused():
    from worldweave.evaluate.session import with_weights

    catalog = discover()
    every = {"thermal", "sonar", "mist", "edge"}
    assert every <= set(with_weights(catalog, "tiny-world"))
    allowed = catalog.allowing([OURS, "MIT"])
    assert every & set(with_weights(allowed, "tiny-world")) == {"edge"}


def test_the_demo_refuses_its_base_and_a_bad_listing(refused, out):
    job = ("demo", "--out", out, "--licenses")
    starting(refused(*job, "MIT"), "base 'tiny-world' of worldweave ")
    starting(refused(*job, "Apache 2.0"), "--licenses has 'Apache 2.0'")


# From Python.


def test_load_refuses_all_at_once_and_reads_nothing():
    with pytest.raises(Problems) as caught:
        worldweave.load(modalities=["thermal", "edge", "mist"], licenses=[OURS, "MIT"])
    starting(
        caught.value.problems, CODE["thermal"], WEIGHTS["thermal"], WEIGHTS["mist"]
    )
    assert "that licenses allows (Apache-2.0, MIT)" in caught.value.problems[0]


def test_a_pipeline_stays_restricted_and_knows_the_users_own_files(branch_file, clip):
    own = branch_file("edge")
    pipeline = load(
        modalities=["mist"], weights={"mist": own}, licenses=f"{OURS},MIT", device="cpu"
    )
    made = pipeline.generate(video=clip[:2], maps={"mist": 0.5}, steps=1, guidance=0.0)
    assert len(made.frames) == 2
    with pytest.raises(LicenseError, match="modality 'thermal'"):
        pipeline.enable("thermal")
    with pytest.raises(LicenseError, match="weights 'package:worldweave_mist"):
        pipeline.enable("mist")
    pipeline.enable("edge")
    with pytest.raises(Problems, match="left out: model 'Eyes'"):
        pipeline.generate(video=clip[:2], maps={"edge": Prompt(prompt="car")})
