"""The plan for several GPUs: what each would hold, and whether that fits."""

import json

import pytest


@pytest.fixture
def planned(run):
    def planned_(*given, device="cpu", code=0):
        ran = run(
            "plan",
            "--video",
            "in.mp4",
            "--steps",
            2,
            "--control",
            "edge=0.5",
            "--weights",
            "edge=edge.safetensors",
            "--device",
            device,
            *given,
        )
        assert ran.code == code, ran.stderr
        return ran.stdout

    return planned_


def table(text):
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if "cfg x ring" in line)
    return lines[first].split(), [line.split() for line in lines[first + 1 :]]


def test_a_table_tells_what_each_of_up_to_64_gpus_would_hold(planned):
    told = planned("--memory", 1000, device="cuda")
    heading, rows = table(told)
    assert heading[0] == "GPUs"
    assert heading[-4:] == ["first", "GPU", "each", "other"]
    rows = [row for row in rows if row[0].isdecimal()]
    assert [row[0] for row in rows] == ["1", "2", "4", "8", "16", "32", "64"]
    assert rows[3][1:6] == ["2", "x", "1", "x", "4"]
    assert "every rank holds all weights" in told


def test_json_has_the_layouts_and_the_bytes_of_first_and_other_ranks(planned):
    told = json.loads(planned("--json", "--memory", 1000, device="cuda"))
    one, *_, four = told["gpus"][:3]
    assert one["first"]["host_bytes"] == told["peak_host_bytes"]
    assert four["layout"] == {"cfg": 2, "ring": 1, "ulysses": 2}
    assert four["other"]["device_bytes"] < four["first"]["device_bytes"]
    assert told["not_shared"]


def test_on_a_cpu_it_is_told_of_as_many_as_are_asked_for(planned):
    assert "cfg x ring" not in planned("--memory", 1000)
    heading, rows = table(planned("--memory", 1000, "--gpus", 2))
    assert heading[0] == "processes"
    assert [row[0] for row in rows if row[0].isdecimal()] == ["2"]


def test_for_some_gpus_the_memory_is_that_of_their_ranks(planned):
    told = json.loads(planned("--json", "--memory", 1000, "--gpus", 4))
    (four,) = told["gpus"]
    assert four["gpus"] == 4
    assert told["bytes"] == four["first"]["bytes"]
    assert told["peak_host_bytes"] == (
        four["first"]["host_bytes"] + 3 * four["other"]["host_bytes"]
    )
    assert "first of 4 ranks" in " ".join(told["notes"])
    gpu = json.loads(planned("--json", "--gpus", 4, device="cuda"))
    (four,) = gpu["gpus"]
    assert gpu["peak_device_bytes"] == four["first"]["device_bytes"]
    heading, rows = table(planned("--gpus", 4, device="cuda"))
    assert heading[0] == "GPUs"
    assert heading[-4:] == ["first", "GPU", "each", "other"]
    assert [row[0] for row in rows if row[0].isdecimal()] == ["4"]


def test_whether_it_fits_is_asked_of_all_processes_of_this_machine(planned):
    alone = json.loads(planned("--json", "--memory", 1000, "--gpus", 1))
    room = f"{2 * alone['peak_host_bytes'] / 1e9:.3f}"
    assert "it fits" in planned("--memory", room)
    assert "IT WILL NOT FIT" in planned("--memory", room, "--gpus", 4, code=3)


def test_one_gpu_is_a_plan_without_others(planned):
    told = json.loads(planned("--json", "--memory", 1000, "--gpus", 1))
    assert [each["gpus"] for each in told["gpus"]] == [1]
    assert not [note for note in told["notes"] if "ranks" in note]


def test_no_gpu_at_all_is_refused(refused):
    (line,) = refused("plan", "--video", "in.mp4", "--device", "cpu", "--gpus", 0)
    assert "--gpus" in line
