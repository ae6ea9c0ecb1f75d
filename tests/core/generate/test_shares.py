"""The shares told before a generation are those it then has."""

import attrs
import numpy as np
import pytest

from worldweave import Control, Request
from worldweave.checkpoints.map_file import save_map_net
from worldweave.diffusion.sampler import noise_levels
from worldweave.generate.outlook import in_one_row
from worldweave.generate.shares import WHOLE, Runs, Share, chunks_of, runs, shares
from worldweave.io import video
from worldweave.maps import (
    Box,
    Boxes,
    Keyframe,
    Keyframes,
    Labels,
    Learned,
    Prompt,
    Rule,
    Salient,
    Schedule,
)
from worldweave.model.map_net import MapNet
from worldweave.request.survey import survey
from worldweave_plugins.tinyworld.config import CONFIG
from worldweave_registry import discover

CLASSES = {"sky": [0, 0, 0], "road": [200, 0, 0], "car": [0, 0, 200]}
CAR = "car -> 1; else -> 0.25"
REST = "car -> 0.5; road -> 1; else -> 0"


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A car that drives over a road under a sky, ten frames."""
    pictures = np.zeros((10, 64, 96, 3), np.uint8)
    pictures[:, 40:] = (200, 0, 0)
    for at, picture in enumerate(pictures):
        picture[30:50, 10 + 5 * at : 34 + 5 * at] = (0, 0, 200)
    path = tmp_path_factory.mktemp("labels") / "labels"
    path.mkdir()
    for at, picture in enumerate(pictures):
        video.write_png(path / f"frame_{at}.png", picture)
    return Labels(file=path, classes=CLASSES)


def asked(clip, labels, **controls):
    found = {
        name: value if isinstance(value, Control) else Control(map=value)
        for name, value in controls.items()
    }
    return Request(
        prompt="a street",
        video=clip,
        steps=2,
        guidance=0.0,
        labels=labels,
        controls=found,
    )


def look(request):
    return survey(request, discover(), lambda *_: [])


REQUESTS = {
    "numbers": {"edge": 0.9, "vis": 0.7},
    "rules": {"edge": Rule(rule=CAR), "vis": Rule(rule=REST)},
    "in time": {
        "edge": Keyframes(
            keyframes=[Keyframe(time=0, value=0), Keyframe(time=0.4, value=1)]
        ),
        "vis": Boxes(boxes=[Box(box=(0.2, 0.1, 0.7, 0.9), start=0.2)], outside=0.4),
    },
    "salient": {"edge": Salient(foreground=1, background=0.2), "vis": 0.6},
    "schedules": {
        "edge": Control(map=Rule(rule=CAR), schedule=Schedule(linear=(1, 0.2))),
        "vis": Control(map=0.8, schedule=Schedule(interval=(0.1, 80))),
    },
}


@pytest.mark.parametrize("controls", REQUESTS.values(), ids=REQUESTS)
def test_the_shares_are_those_a_generation_reports(pipeline, clip, labels, controls):
    """Eighteen frames are two chunks. Latent frames count alike, whatever they hold."""
    held = Labels(file=labels.file, classes=CLASSES, length="hold")
    source = np.concatenate([clip[:9], clip[:9]])
    request = attrs.evolve(asked(source, held, **controls), overlap=0)
    looked = look(request)
    found = shares(looked)
    made = pipeline.run(request)
    masks = {WHOLE: np.ones((1, 8, 12), np.float32), **looked.regions()}
    assert [(share.chunk, share.region) for share in found] == [
        (chunk, region) for chunk in (0, 1) for region in masks
    ]
    for share in found:
        # By plain numpy: a token has its share of the region, in time as in space.
        first = 9 * share.chunk
        cells = np.broadcast_to(masks[share.region], (18, 8, 12))[first : first + 9]
        part = np.stack([cells[0], cells[1:5].mean(axis=0), cells[5:].mean(axis=0)])
        assert share.pixels == pytest.approx(part.mean(), abs=1e-6)
        assert set(share.values) == {"edge", "vis"}
        for name, told in share.values.items():
            used = made.effective[name][first : first + 9][[0, 1, 5]]
            mean = float((used * part).sum() / part.sum())
            assert told == pytest.approx(mean, abs=1e-6)


def test_every_chunk_is_told_by_itself(pipeline, clip):
    source = np.concatenate([clip[:9], clip[:9]])
    late = np.zeros((18, 1, 1), np.float32)
    late[9:] = 0.8
    request = Request(
        video=source,
        steps=1,
        overlap=0,
        controls={"edge": Control(map=late), "vis": Control(map=0.4)},
    )
    looked = look(request)
    first, second = shares(looked)
    made = pipeline.run(request)
    assert (first.chunk, second.chunk) == (0, 1)
    assert first.values == {"edge": 0.0, "vis": pytest.approx(0.4)}
    for name in ("edge", "vis"):
        for share, at in ((first, 0), (second, 9)):
            mean = float(made.effective[name][at : at + 9].mean())
            assert share.values[name] == pytest.approx(mean, abs=1e-6)
    assert second.values["edge"] == pytest.approx(0.8 / 1.2)
    assert runs(looked) == {
        "edge": Runs(evaluations=2, chunks=1),
        "vis": Runs(evaluations=4, chunks=2),
    }


def test_a_region_that_is_not_in_a_chunk_has_no_values(clip, tmp_path):
    """The car is only in the last of eighteen frames."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for at in range(18):
        picture = np.zeros((64, 96, 3), np.uint8)
        if at == 17:
            picture[:8, :8] = (0, 0, 200)
        video.write_png(folder / f"frame_{at:02d}.png", picture)
    request = Request(
        video=np.concatenate([clip[:9], clip[:9]]),
        overlap=0,
        labels=Labels(file=folder, classes=CLASSES),
        controls={"edge": Control(map=Rule(rule=CAR))},
    )
    car = [share for share in shares(look(request)) if share.region == "car"]
    assert [share.pixels > 0 for share in car] == [False, True]
    assert car[0].values == {}
    # One of four frames of one of 96 tokens in each of three latent frames.
    assert car[1].pixels == pytest.approx(1 / 4 / 96 / 3)
    assert car[1].values["edge"] == pytest.approx(0.25 + 0.75 / 4)


def test_what_is_not_known_yet_has_no_value_and_runs_everywhere(clip, tmp_path):
    request = Request(
        video=clip,
        steps=3,
        controls={
            "edge": Control(map=Prompt(prompt="the car")),
            "vis": Control(map=0.5),
        },
    )
    looked = look(request)
    for share in shares(looked):
        assert share.values == {"edge": None, "vis": 0.5}
    assert looked.pending == ("edge",)
    assert runs(looked)["edge"] == Runs(evaluations=8, chunks=2)


def test_the_maps_of_the_released_code_are_told_as_it_rounds_them(clip):
    request = Request(
        video=clip[:9],
        compat="cosmos-transfer1",
        controls={"edge": Control(map=0.3), "vis": Control(map=0.7)},
    )
    (share,) = shares(look(request))
    assert share.values["edge"] == pytest.approx(0.30078125)
    assert share.values["vis"] == pytest.approx(0.69921875)


def test_evaluations_follow_the_schedule(clip):
    some = Schedule(interval=(1.0, 80))
    fading = Schedule(linear=(1, 0))
    request = Request(
        video=clip[:9],
        steps=10,
        controls={
            "edge": Control(map=0.3, schedule=some),
            "vis": Control(map=0.3, schedule=fading),
        },
    )
    looked = look(request)
    assert runs(looked)["edge"].evaluations == int((noise_levels(10) >= 1.0).sum())
    assert runs(looked)["vis"].evaluations == 10


def test_chunks_that_show_the_same_become_one_row():
    def share(region, chunk, value):
        return Share(region=region, chunk=chunk, pixels=0.5, values={"edge": value})

    values = [0.5, 0.5, 0.50001, 0.2, 0.2, 0.5]
    found = [share("all", n, v) for n, v in enumerate(values)]
    found += [share("car", n, None) for n in range(6)]
    rows = [(chunks, region) for chunks, region, _ in in_one_row(tuple(found))]
    assert rows == [
        ("1-3", "all"),
        ("1-6", "car"),
        ("4-5", "all"),
        ("6", "all"),
    ]


def test_the_chunks_are_those_of_the_generation(pipeline, clip):
    source = np.concatenate([clip, clip])
    request = Request(video=source, steps=1, overlap=3, controls={})
    looked = look(request)
    starts = tuple(chunk.start for chunk in chunks_of(looked))
    assert starts == pipeline.run(request).chunk_starts == (0, 6, 12)


def test_learned_maps_are_not_known_either(clip, tmp_path):
    save_map_net(
        tmp_path / "n.safetensors", MapNet(CONFIG, ["edge"]), base="tiny-world"
    )
    learned = Learned(learned=tmp_path / "n.safetensors")
    request = Request(video=clip[:9], steps=1, controls={"edge": Control(map=learned)})
    looked = look(request)
    (share,) = shares(looked)
    assert share.values == {"edge": None}
    assert list(looked.learned) == ["edge"]
    assert runs(looked)["edge"].evaluations == 2


def test_a_network_that_predicts_maps_sees_the_hints_of_chunks_without_a_branch(
    clip, tmp_path
):
    save_map_net(
        tmp_path / "n.safetensors", MapNet(CONFIG, ["edge"]), base="tiny-world"
    )
    late = np.zeros((18, 1, 1), np.float32)
    late[9:] = 0.8
    request = Request(
        video=np.concatenate([clip[:9], clip[:9]]),
        steps=1,
        overlap=0,
        controls={
            "edge": Control(map=Learned(learned=tmp_path / "n.safetensors")),
            "vis": Control(map=late),
        },
    )
    assert runs(look(request)) == {
        "edge": Runs(evaluations=4, chunks=2),
        "vis": Runs(evaluations=2, chunks=2),
    }
