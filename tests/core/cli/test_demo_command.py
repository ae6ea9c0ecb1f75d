"""The demo command, as a person with a video of their own meets it."""

import pytest


@pytest.fixture
def shown(tmp_path):
    return tmp_path / "shown"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("gone.mp4", ["gone.mp4", "check the path"]),
        ("words.mp4", ["words.mp4", "not a video"]),
        ("words.txt", ["words.txt", "not a video"]),
        ("cut.mp4", ["cut.mp4", "cut short"]),
        ("empty.mp4", ["empty.mp4", "is empty"]),
        ("folder.mp4", ["folder.mp4", "is a folder"]),
        ("floats.npy", ["floats.npy", "uint8"]),
        ("in.mp4 --frames 8", ["frames is 8", "9 at once"]),
        ("in.mp4 --frames 0", ["--frames", "0"]),
        ("in.mp4 --prompt spaceship", ["spaceship", "does not know"]),
        ("in.mp4 --base tiny", ["'tiny'", "tiny-world"]),
        ("--clip -1", ["--clip", "-1"]),
        ("--clip two", ["--clip", "two"]),
    ],
)
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(
    arguments, parts, run, shown
):
    ran = run("demo", *arguments.split(), "--out", shown)
    assert ran.code == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("worldweave: ")
    for part in parts:
        assert part in line
    assert not shown.exists()


def test_a_folder_that_is_a_file_is_refused(run, tmp_path):
    file = tmp_path / "notes"
    file.write_text("mine")
    ran = run("demo", "in.mp4", "--out", file)
    assert ran.code == 2
    assert "notes: it is a file; give --out a folder" in ran.stderr
    assert file.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_refused(run):
    ran = run("demo", "in.mp4", "--frames", 9, "--out", "/proc/worldweave")
    assert ran.code == 2
    (line,) = ran.stderr.splitlines()
    assert "/proc/worldweave" in line


def test_a_video_among_the_results_is_not_replaced(run, desk, tmp_path):
    own = tmp_path / "demo" / "video" / "source.mp4"
    own.parent.mkdir(parents=True)
    own.write_bytes((desk / "in.mp4").read_bytes())
    ran = run("demo", own, "--out", tmp_path / "demo")
    assert ran.code == 2
    assert "could be replaced; give --out another folder" in ran.stderr
    assert own.read_bytes() == (desk / "in.mp4").read_bytes()


def test_a_video_of_ones_own_becomes_a_page(run, shown, monkeypatch):
    monkeypatch.setenv("WORLDWEAVE_DISABLE", "vis")
    ran = run("demo", "in.mp4", "--frames", 9, "--prompt", "a car", "--out", shown)
    assert ran.code == 0
    page = (shown / "index.html").read_text("utf-8")
    assert "in.mp4, its first 9 frames" in page
    # The source and its ceiling, the control, the prompt alone, and under edge.
    assert page.count("<video ") == 5
    assert "Not shown: seg" in page
    assert "s of compute), peak " in ran.stdout
    assert "Edge F1" in ran.stdout
