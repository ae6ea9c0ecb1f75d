"""A whole demonstration, with one denoising step for each clip."""

import base64
import copy
import io
import json
import shlex

import attrs
import av
import cv2
import numpy as np
import pytest

from worldweave.cli import main
from worldweave.evaluate.control import through_autoencoder
from worldweave.evaluate.demo.film import DECODED, SOURCE
from worldweave.evaluate.demo.layout import AMBER, BLUE, map_picture
from worldweave.evaluate.demo.perform import perform, what_next
from worldweave.evaluate.demo.prepare import Demo
from worldweave.evaluate.demo.subjects import from_clip, held_out_clips
from worldweave.io import video as video_io
from worldweave_registry import WorldweaveError

TAKES = ["prompt-only", "edge", "vis", "all", "edge-within-vis", "vis-within-edge"]


@pytest.fixture(scope="module")
def demo(pipeline, tmp_path_factory):
    quick = copy.copy(pipeline)
    base = attrs.evolve(pipeline.base.description, steps=1, metrics=None)
    quick.base = attrs.evolve(pipeline.base, description=base)
    clip = held_out_clips(base, [0])[0]
    modalities = [each.modality for each in pipeline.active.values()]
    out = tmp_path_factory.mktemp("demo")
    folder = out / "clip-0"
    subject = from_clip("clip-0", clip, clip.prompt, base, modalities, folder)
    return Demo(
        pipeline=quick, subjects=(subject,), leads=("edge", "vis"), out=out, seed=3
    )


@pytest.fixture(scope="module")
def ticks():
    return []


@pytest.fixture(scope="module")
def performed(demo, ticks):
    return perform(demo, lambda *now: ticks.append(now), command="worldweave")


@pytest.fixture(scope="module")
def page(demo, performed):
    return (demo.out / "index.html").read_text("utf-8")


def videos_in(page):
    return [
        part.partition('"')[0] for part in page.split('src="data:video/mp4;base64,')
    ][1:]


def test_every_take_lies_beside_the_page_with_its_manifest(demo, performed):
    folder = demo.out / "clip-0"
    for name in TAKES:
        assert len(video_io.read(folder / f"{name}.mp4").frames) == 9
        manifest = json.loads((folder / f"{name}.manifest.json").read_text())
        assert manifest["request"]["seed"] == 3
    assert not list(demo.out.glob("**/.worldweave-*"))


def test_the_page_holds_every_clip_and_each_decodes(page):
    videos = videos_in(page)
    # The source and its ceiling, two controls, two maps, and the takes.
    assert len(videos) == 2 + 2 + 2 + len(TAKES)
    for video in videos:
        with av.open(io.BytesIO(base64.b64decode(video))) as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert np.shape(frames) == (9, 128, 192, 3)


def test_takes_differ_by_their_controls_and_not_by_their_noise(demo, performed):
    (filmed,), _ = performed
    made = {take.name: each for take, each in filmed.made.items()}
    assert {each.request.seed for each in made.values()} == {3}
    pictures = [each.frames for each in made.values()]
    for at, one in enumerate(pictures):
        assert not any(np.array_equal(one, other) for other in pictures[:at])


def test_a_take_can_be_replayed_from_its_manifest(demo, performed, tmp_path, capsys):
    folder, again = demo.out / "clip-0", tmp_path / "again.mp4"
    manifest = folder / "prompt-only.manifest.json"
    record = json.loads(manifest.read_text())
    # The base has more steps than the one its description was given here.
    record["request"]["steps"] = 1
    manifest.write_text(json.dumps(record))
    assert main(["replay", str(manifest), "--out", str(again)]) == 0
    assert again.read_bytes() == (folder / "prompt-only.mp4").read_bytes()


def test_progress_counts_every_step_to_the_last(demo, performed, ticks):
    done = [tick[0] for tick in ticks]
    assert done == list(range(1, len(TAKES) * 2 + 1))
    assert {tick[1:] for tick in ticks} == {(len(done), "clip-0")}


def test_the_scores_begin_with_what_cannot_be_beaten(demo, performed):
    (filmed,), _ = performed
    source, ceiling, *takes = filmed.scores.rows
    assert [source.title, ceiling.title] == [SOURCE, DECODED]
    assert source.scores == pytest.approx((1, 1))
    assert len(takes) == len(TAKES)
    for row in (ceiling, *takes):
        assert max(row.scores) < 1
    assert len(filmed.regions.rows) == 4


def test_the_page_tells_the_scores_the_prompt_and_the_cost(demo, performed, page):
    (filmed,), cost = performed
    assert filmed.subject.prompt in page
    assert str(cost) in page
    assert "peak" in str(cost)
    for row in filmed.scores.rows:
        for score in row.scores:
            assert f">{score:.3f}<" in page
    assert page.count('class="best"') == 2 + 4


def test_the_modality_that_leads_the_foreground_first_is_amber_in_both(performed):
    (filmed,), _ = performed
    first, second = (take for take in filmed.made if take.leads is not None)
    inside = filmed.subject.foreground == 1
    amber, blue = np.array(AMBER, float), np.array(BLUE, float)
    for take, colour in ((first, amber - blue), (second, blue - amber)):
        picture = map_picture(take, filmed).astype(float)
        tint = picture[inside].mean(0) - picture[~inside].mean(0)
        assert (np.sign(tint) == np.sign(colour)).all()


def test_the_sheet_shows_every_column(demo, performed):
    sheet = cv2.imread(str(demo.out / "sheet.png"))
    columns = 1 + len(TAKES)
    assert sheet.shape[1] == columns * 196
    assert (sheet[:, 196 * 6 :] < 128).any()


def test_the_commands_on_the_page_are_ones_the_program_takes(demo, performed, page):
    from worldweave.cli import app

    for what, line in what_next(demo):
        assert what in page
        name, *arguments = shlex.split(line)
        command = __import__("typer").main.get_command(app).commands[name]
        command.make_context(name, arguments)


def test_the_command_for_own_maps_reads_the_files_of_the_demonstration(
    demo, performed, tmp_path, branch_file
):
    line = what_next(demo)[1][1]
    arguments = shlex.split(line)
    arguments[-1] = str(tmp_path / "woven.mp4")
    quick = ["--steps", "1", "--seed", "3"]
    for name in ("edge", "vis"):
        quick += ["--weights", f"{name}={branch_file(name)}"]
    assert main([*arguments, *quick]) == 0
    made = video_io.read(tmp_path / "woven.mp4").frames
    expected = video_io.read(demo.out / "clip-0" / "edge-within-vis.mp4").frames
    np.testing.assert_array_equal(made, expected)


def test_a_long_video_goes_through_the_autoencoder_chunk_by_chunk(pipeline, clip):
    twice = np.concatenate([clip[:9], clip[:9]])
    made = through_autoencoder(pipeline, np.concatenate([twice, clip[:2]]))
    assert made.shape == (20, 64, 96, 3)
    np.testing.assert_array_equal(made[:9], made[9:18])
    assert np.abs(made[:10].astype(int) - clip).mean() < 12


def test_a_folder_that_cannot_take_the_page_is_found_before_the_work(demo, tmp_path):
    (tmp_path / "index.html").mkdir()
    ticks = []
    with pytest.raises(WorldweaveError, match=r"index.html: it is a folder"):
        perform(attrs.evolve(demo, out=tmp_path), lambda *now: ticks.append(now))
    assert ticks == []


def test_a_page_is_not_touched_when_the_work_is_stopped(demo, tmp_path):
    (tmp_path / "index.html").write_text("the old one")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(attrs.evolve(demo, out=tmp_path), stop)
    assert (tmp_path / "index.html").read_text() == "the old one"
    assert not list(tmp_path.glob("**/.worldweave-*"))
