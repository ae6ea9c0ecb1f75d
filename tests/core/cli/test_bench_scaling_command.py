import json

import pytest


def test_scaling_is_told_by_the_model_of_the_kernels(run, tmp_path):
    kept = tmp_path / "s.json"
    ran = run("bench", "scaling", "--gpus", "1,64", "--json", kept)
    assert ran.code == 0, ran.stderr
    assert ran.stdout.startswith("Scaling on paper: a model. Nothing here was measured")
    assert "### GB200: the aims, by the model" in ran.stdout
    assert json.loads(kept.read_text())["schema"] == 1


def test_the_help_of_scaling_tells_its_flags(run):
    ran = run("bench", "scaling", "--help")
    assert ran.code == 0
    assert ran.stdout.startswith("usage: worldweave bench scaling")
    assert "--measured" in ran.stdout
    assert "scaling" in run("bench", "--help").stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--gpus", "1,x"), "--gpus is '1,x'; give numbers such as 1,2,4,8"),
        (("--cluster", "H300"), "argument --cluster: invalid choice: 'H300'"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
    ],
)
def test_mistakes_about_scaling_are_told_in_a_line(refused, given, said):
    (line,) = refused("bench", "scaling", *given)
    assert line.startswith(said)


def test_flags_of_bench_are_refused_before_scaling(refused):
    (line,) = refused("bench", "--save", "scaling")
    assert line.startswith("--save belongs to worldweave bench alone")
