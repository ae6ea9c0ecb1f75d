"""A plugin that raises in the middle of the work is named, and harms nobody else."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

STORM = '''
import os

import attrs
import worldweave
from worldweave import CosmosBranch
from worldweave_plugins import tinyworld

def fail(*_, **__):
    raise RuntimeError("lost at\\nsea")

class Sunk:
    """Cannot be built."""
    __init__ = fail
    higher_is_better = True

@attrs.frozen(kw_only=True)
class Gale:
    """Blow everything away."""

    force: int = 12

    def __call__(self, frames):
        raise RuntimeError(f"force {self.force} is too much\\nfor the mast")

@attrs.frozen(kw_only=True)
class Calm:
    level: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    def __call__(self, frames):
        return frames

class Same:
    higher_is_better = True
    def __call__(self, video, reference):
        return float((video == reference).mean())

class Drizzle(Same):
    __call__ = fail

class Mist(Same):
    __repr__ = fail

class Squall(CosmosBranch):
    def forward(self, latent, step, hint):
        return [latent[0] / None]

class Whirl(CosmosBranch):
    def forward(self, latent, step, hint):
        return [each[..., :3] for each in super().forward(latent, step, hint)]

class Leaver(CosmosBranch):
    def forward(self, latent, step, hint):
        raise SystemExit(3)

RECIPE = worldweave.Recipe(steps=1, learning_rate=1e-3, batch_size=1, base="breeze")

@worldweave.hookimpl
def worldweave_modalities():
    uri = os.path.abspath("edge.safetensors")
    known = {
        "summary": "for tests",
        "license": "MIT",
        "recipe": "acme_storm:RECIPE",
        "weights": (),
        "preprocessor": "acme_storm:Calm",
        "metric": "acme_storm:Same",
    }
    shipped = {"weights": [
        worldweave.Weights(base=base.name, uri=uri, license="MIT")
        for base in worldweave_bases()
    ]}
    parts = {
        "calm": {**shipped},
        "hail": {"preprocessor": "acme_storm:Sunk", **shipped},
        "gale": {"preprocessor": "acme_storm:Gale", **shipped},
        "sleet": {"metric": "acme_storm:Sunk"},
        "drizzle": {"metric": "acme_storm:Drizzle", **shipped},
        "mist": {"metric": "acme_storm:Mist"},
        "frost": {"branch": "acme_storm:Sunk", **shipped},
        "squall": {"branch": "acme_storm:Squall", **shipped},
        "whirl": {"branch": "acme_storm:Whirl"},
        "leaver": {"branch": "acme_storm:Leaver"},
    }
    return [worldweave.Modality(name=n, **known | own) for n, own in parts.items()]

@worldweave.hookimpl
def worldweave_bases():
    (tiny,) = tinyworld.worldweave_bases()
    about = {"steps": 1, "guidance": 0, "metrics": None, "metadata": {}}
    breeze = attrs.evolve(tiny, name="breeze", **about)
    parts = ("config", "autoencoder", "text_encoder", "check_prompt", "cost")
    parts += ("metrics", "clips")
    names = {part: "sunk-" + part.replace("_", "-") for part in parts}
    return [breeze] + [
        attrs.evolve(breeze, name=names[part], **{part: "acme_storm:fail"})
        for part in parts
    ]
'''
REPORT = "report it to acme-storm 0.2.0: https://plugins.example/acme-storm/issues"


@pytest.fixture(autouse=True)
def storm(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Install the plugin acme-storm 0.2.0, which states an issue tracker."""
    site = tmp_path / "site"
    info = site / "acme_storm-0.2.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_storm.py").write_text(STORM)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: acme-storm\nVersion: 0.2.0\n"
        "Project-URL: Issues, https://plugins.example/acme-storm/issues\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\nstorm = acme_storm\n")
    monkeypatch.syspath_prepend(site)
    yield
    sys.modules.pop("acme_storm", None)


def generate(*controls: str) -> list[str]:
    """Return a command that makes ten frames under *controls*, all with weights."""
    flags = ["generate", "--video", "in.mp4", "--steps", "1"]
    for name in controls:
        flags += ["--control", f"{name}=0.5", "--weights", f"{name}=edge.safetensors"]
    return flags


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gale", "RuntimeError: force 12 is too much; for the mast"),
        ("squall", "TypeError: unsupported operand"),
        ("whirl", "gave a residual ("),
        ("leaver", "SystemExit: 3"),
    ],
)
def test_the_plugin_its_version_and_its_issue_tracker_are_named(
    refused: Callable[..., list[str]], out: Path, name: str, says: str
) -> None:
    (line,) = refused(*generate("edge", name), "--out", out)[-1:]
    assert repr(name) in line
    assert says in line
    assert line.endswith(REPORT)


def test_it_is_one_line(refused: Callable[..., list[str]], out: Path) -> None:
    assert len(refused(*generate("gale"), "--out", out)) == 1


def test_the_option_that_it_fails_at_is_told(
    refused: Callable[..., list[str]], out: Path
) -> None:
    (line,) = refused(*generate("gale"), "--option", "gale.force=3", "--out", out)
    assert "force 3 is too much" in line


def test_other_modalities_go_on_working(run: Callable[..., Any], out: Path) -> None:
    assert run(*generate("edge"), "--out", out).code == 0
    assert out.exists()


def test_the_other_videos_of_a_batch_are_made(
    run: Callable[..., Any], desk: Path, out: Path, tmp_path: Path
) -> None:
    def job(name: str) -> dict[str, Any]:
        control = {"map": 0.5, "weights": str(desk / "edge.safetensors")}
        return {
            "video": str(desk / "in.mp4"),
            "steps": 1,
            "controls": {name: control},
        }

    jobs = tmp_path / "jobs.jsonl"
    names = ("gale", "squall", "edge")
    jobs.write_text("".join(json.dumps(job(name)) + "\n" for name in names))
    ran = run("batch", jobs, "--out", out.parent)
    assert ran.code != 0
    assert len(list(out.parent.rglob("*.edge.mp4"))) == 1
    blamed = [line for line in ran.stderr.splitlines() if line.endswith(REPORT)]
    assert len(blamed) == 2
    assert "'gale'" in blamed[0]
    assert "'squall'" in blamed[1]


FILE = ("--weights", "edge.safetensors")
TRAIN = ("train", "--clips", "1", "--steps", "1", "--monitor-every", "0")


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("hail", ["generate", "--video", "in.mp4"], "preprocessor of 'hail' cannot be"),
        ("hail", ["plan", "--video", "in.mp4"], "preprocessor of 'hail' cannot be"),
        ("hail", ["evaluate", "hail", *FILE], "preprocessor of 'hail' cannot be"),
        ("hail", [*TRAIN, "hail"], "preprocessor of 'hail' cannot be"),
        ("sleet", ["evaluate", "sleet", *FILE], "metric of 'sleet' failed: RuntimeErr"),
        ("mist", ["evaluate", "mist", *FILE], "metric Mist failed: RuntimeError: lost"),
        ("drizzle", ["evaluate", "drizzle", *FILE], "metric Drizzle failed: Runtim"),
        ("frost", ["plan", "--video", "in.mp4"], "branch of 'frost' cannot be built"),
        ("squall", ["plan", "--video", "in.mp4"], "branch of 'squall', run on torch's"),
        ("whirl", ["plan", "--video", "in.mp4"], "gave a residual ("),
    ],
)
def test_every_command_that_calls_a_failing_part_names_it(
    refused: Callable[..., list[str]],
    out: Path,
    tmp_path: Path,
    name: str,
    arguments: list[str],
    says: str,
) -> None:
    command = arguments[0]
    if command in ("generate", "plan"):
        arguments = [*arguments, "--control", name, "--weights", f"{name}={FILE[1]}"]
    if command == "train":
        arguments = [*arguments, "--out", str(tmp_path / "run")]
    if command == "generate":
        arguments = [*arguments, "--out", str(out)]
    if command == "evaluate":
        arguments = [*arguments, "--clips", "2", "--steps", "1"]
    (line,) = refused(*arguments)
    assert says in line
    assert line.endswith(REPORT)


@pytest.mark.parametrize(
    ("base", "arguments", "says"),
    [
        ("config", ["plan", "--video", "in.mp4"], "the config of base"),
        ("config", ["bench"], "the config of base"),
        ("cost", ["plan", "--video", "in.mp4"], "the cost of base"),
        ("check-prompt", ["plan", "--video", "in.mp4"], "the prompt check of base"),
        ("check-prompt", ["demo"], "the prompt check of base"),
        ("autoencoder", ["bench"], "the autoencoder of base"),
        ("text-encoder", ["demo", "in.mp4"], "the text encoder of base"),
        ("metrics", ["evaluate", "--table", "gaps"], "the metrics of base"),
        ("clips", ["demo"], "the maker of clips acme_storm:fail"),
        ("clips", ["evaluate", "--table", "gaps"], "the maker of clips acme_storm:f"),
    ],
)
def test_every_command_that_calls_a_failing_part_of_a_base_names_it(
    refused: Callable[..., list[str]],
    tmp_path: Path,
    base: str,
    arguments: list[str],
    says: str,
) -> None:
    command, *rest = arguments
    rest += [f"sunk-{base}"] if command == "evaluate" else ["--base", f"sunk-{base}"]
    if command == "plan":
        rest += ["--control", "calm"]
    if command == "demo":
        rest += ["--out", str(tmp_path / "demo")]
    if command == "evaluate":
        rest += ["--modalities", "calm", "--clips", "2"]
    (line,) = refused(command, *rest)
    assert says in line
    assert "failed: RuntimeError: lost at; sea" in line
    assert line.endswith(REPORT)


def test_an_unknown_option_does_not_hide_a_refused_value(
    refused: Callable[..., list[str]], out: Path
) -> None:
    options = ("--option", "calm.levle=3", "--option", "calm.level=-1")
    unknown, value = refused(*generate("calm"), *options, "--out", out)
    assert "has no option 'levle'; did you mean 'level'" in unknown
    assert "option of 'calm': 'level' must be >= 0: -1" in value


FAIL = ["drizzle", "frost", "gale", "hail", "squall"]


def left_out(stderr: str) -> list[str]:
    """Return which modalities are left out, each on a line that names the plugin."""
    lines = [line for line in stderr.splitlines() if " is left out: " in line]
    assert all(line.endswith(REPORT) for line in lines)
    return [line.split()[1] for line in lines]


def test_a_demonstration_shows_what_works(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    arguments = ("--base", "breeze", "--frames", 9, "--out", tmp_path / "demo")
    ran = run("demo", "in.mp4", *arguments)
    assert ran.code == 0, ran.stderr
    assert sorted(left_out(ran.stderr)) == FAIL
    made = {path.stem for path in (tmp_path / "demo" / "video").glob("*.manifest.json")}
    assert made == {"prompt-only.manifest", "calm.manifest"}


def test_an_evaluation_of_a_base_scores_what_works(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "scores.json"
    flags = ("--table", "gaps", "--clips", 2, "--steps", 1, "--out", file)
    ran = run("evaluate", "breeze", *flags)
    assert ran.code == 0, ran.stderr
    assert sorted(left_out(ran.stderr)) == FAIL
    scores = json.loads(file.read_text())
    assert list(scores["gaps"]) == ["calm"]
    assert sorted(scores["not_evaluated"]) == FAIL


def test_a_modality_named_is_not_left_out(refused: Callable[..., list[str]]) -> None:
    flags = ("--modalities", "calm,squall", "--table", "gaps", "--clips", 2)
    (line,) = refused("evaluate", "breeze", *flags, "--steps", 1)
    assert "the branch of 'squall' failed: TypeError" in line
    assert line.endswith(REPORT)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "memory ran out; make"),
        (MemoryError("Unable to allocate 9 GiB"), "ran out: Unable to allocate 9 GiB;"),
        (
            torch.OutOfMemoryError("CUDA out of memory.\nSee"),
            "ran out: CUDA out of mem",
        ),
    ],
)
def test_memory_that_runs_out_is_nobodys_fault_and_one_line(
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    says: str,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("acme_storm.Calm.__call__", full)
    ran = run(*generate("calm"), "--out", "never.mp4")
    assert ran.code == 3
    (line,) = ran.stderr.splitlines()
    assert says in line
    assert line.endswith("; worldweave plan tells what is needed")
    assert "acme" not in line


def test_any_other_error_of_ours_is_not_hidden(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("worldweave.forecast.measure.measure", wrong)
    with pytest.raises(RuntimeError, match=r"^ours$"):
        run("bench")


def test_check_says_what_failed_and_does_not_fail_itself(
    run: Callable[..., Any],
) -> None:
    ran = run("check", "hail", "--only", "parts_can_be_imported", "--json")
    assert ran.code == 1
    failed = [each for each in json.loads(ran.stdout) if each["outcome"] == "failed"]
    assert any("RuntimeError: lost at" in each["says"] for each in failed)


def test_a_data_folder_is_looked_at_though_the_preprocessor_fails(
    run: Callable[..., Any], desk: Path, tmp_path: Path
) -> None:
    for kind in ("videos", "hail"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        shutil.copy(desk / "in.mp4", tmp_path / "data" / kind / "a.mp4")
    ran = run("data", "check", tmp_path / "data", "hail", "--base", "breeze", "--json")
    assert "Traceback" not in ran.stderr
    (checked,) = json.loads(ran.stdout)["checked"]
    told = [each["says"] for each in checked["findings"]]
    assert any("'hail' cannot be built" in says and REPORT in says for says in told)
