"""A manifest says what went in and what came out; its files are whole or absent."""

import json
import platform
from fractions import Fraction
from importlib.metadata import version

import attrs
import numpy as np
import pytest
import torch

from worldweave import Control, Problems, Request, WorldweaveError
from worldweave.generate import manifest as manifests
from worldweave.io import video
from worldweave.io.files import sha256
from worldweave.request.fingerprint import input_hashes
from worldweave.request.sources import Labels


@pytest.fixture(scope="module")
def made(pipeline, source):
    """A generation with one modality on and one off."""
    return pipeline.generate(
        "a street by day",
        video=source,
        maps={"edge": 0.5, "vis": 0.0},
        options={"edge": {"threshold": "low"}},
        steps=1,
        guidance=0.0,
        seed=4,
    )


def record_of(path):
    return json.loads(manifests.manifest_path(path).read_text())


def with_plan(made, **fields):
    """The generation, had it followed another plan."""
    return attrs.evolve(made, plan=attrs.evolve(made.plan, **fields))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_field_is_what_happened(made, source, branch_file, tmp_path):
    out = made.save(tmp_path / "out.mp4")
    record = record_of(out)
    assert list(record) == [
        *("format", "request", "inputs", "weights", "output", "machine", "versions")
    ]
    assert record["format"] == 1
    assert record["request"]["video"] == str(source)
    assert record["request"]["seed"] == 4
    assert record["request"]["controls"]["edge"] == {
        "map": 0.5,
        "video": None,
        "options": {"threshold": "low"},
        "weights": str(branch_file("edge")),
        "schedule": None,
    }
    assert record["inputs"] == {
        "video": sha256(source),
        "weights edge": sha256(branch_file("edge")),
    }
    assert record["weights"]["branch edge"] == sha256(branch_file("edge"))
    assert {"base dit", "base autoencoder", "base text_encoder"} < set(
        record["weights"]
    )
    assert "branch vis" not in record["weights"]
    assert record["output"] == {
        "file": "out.mp4",
        "frames": 10,
        "size": [64, 96],
        "source_size": [64, 96],
        "fps": "24",
        "controls": {"edge": "out.edge.mp4"},
        "sha256": sha256(out),
    }
    assert record["machine"] == {
        "device": "cpu",
        "dtype": "float32",
        "threads": torch.get_num_threads(),
        "layout": {"cfg": 1, "ring": 1, "ulysses": 1},
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }
    assert record["versions"]["torch"] == version("torch")


def test_what_is_written_is_read_back(made, tmp_path):
    read = manifests.read(manifests.manifest_path(made.save(tmp_path / "out.mp4")))
    assert read.dtype == torch.float32
    assert read.request.prompt == "a street by day"
    assert read.request.controls["edge"].options == {"threshold": "low"}
    assert manifests.changes(read) == []


def test_what_was_read_is_recorded_and_not_what_is_there_when_it_is_saved(
    pipeline, source, tmp_path, monkeypatch
):
    monkeypatch.chdir(source.parent)
    still = np.full((2, 3), 0.5, np.float32)
    maps = {"edge": still, "vis": 0.0}
    made = pipeline.generate(
        "a street", video=source.name, maps=maps, steps=1, guidance=0.0
    )
    wanted = made.inputs["map edge"]
    still[:] = 0.25
    monkeypatch.chdir(tmp_path)
    record = record_of(made.save(tmp_path / "out.mp4"))
    assert record["request"]["video"] == str(source)
    assert record["inputs"]["video"] == sha256(source)
    assert record["inputs"]["map edge"] == wanted
    assert (
        wanted
        == input_hashes(
            Request(controls={"edge": Control(map=np.full((2, 3), 0.5, np.float32))})
        )["map edge"]
    )


def test_nothing_is_written_into_a_folder_that_is_an_input(made, tmp_path):
    labels = tmp_path / "labels"
    (labels / "deep").mkdir(parents=True)
    request = attrs.evolve(made.request, labels=Labels(file=labels))
    inside = attrs.evolve(made, request=request)
    for folder in (labels, labels / "deep"):
        with pytest.raises(Problems, match="would change the labels of this request"):
            inside.save(folder / "out.mp4")
    inside.save(tmp_path / "out.mp4")


def test_the_same_generation_gives_the_same_files(made, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        made.save(tmp_path / folder / "out.mp4")
    for name in names(tmp_path / "one"):
        one, two = (tmp_path / folder / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_names_with_dots_keep_them(made, tmp_path):
    made.save(str(tmp_path / "take.2.mov"))
    assert names(tmp_path) == [
        "take.2.edge.mov",
        "take.2.manifest.json",
        "take.2.mov",
        "take.2.report.html",
    ]


def test_an_odd_rate_is_recorded_exactly(made, tmp_path):
    odd = with_plan(made, fps=Fraction(30000, 1001))
    out = odd.save(tmp_path / "out.mp4")
    assert record_of(out)["output"]["fps"] == "30000/1001"
    assert video.read(out).fps == Fraction(30000, 1001)


def test_arrays_are_recorded_by_hash_and_kept_from_replay(pipeline, clip, tmp_path):
    still = np.full((2, 3), 0.5, np.float32)
    maps = {"edge": still, "vis": 0.0}
    out = pipeline.generate(video=clip, maps=maps, steps=1).save(tmp_path / "out.mp4")
    again = pipeline.generate(video=clip.copy(), maps=maps, steps=1)
    other = pipeline.generate(video=clip, maps={**maps, "edge": still / 2}, steps=1)
    inputs = record_of(out)["inputs"]
    assert input_hashes(again.request) == inputs
    assert input_hashes(other.request)["video"] == inputs["video"]
    assert input_hashes(other.request)["map edge"] != inputs["map edge"]
    found = manifests.changes(manifests.read(manifests.manifest_path(out)))
    assert [line.split(";")[0] for line in found] == [
        "video was an array uint8 10x64x96x3 in memory",
        "map edge was an array float32 2x3 in memory",
    ]


def test_a_hash_tells_shape_and_kind_apart():
    def digest(array):
        return input_hashes(Request(video=array))["video"]

    flat = np.zeros((2, 6), np.uint8)
    others = [flat.reshape(3, 4), flat.view(np.int8), flat + np.uint8(1)]
    assert all(digest(other) != digest(flat) for other in others)
    assert digest(flat[:, ::2]) == digest(flat[:, ::2].copy())


def test_a_file_that_is_not_there_has_no_hash(source, tmp_path):
    request = Request(
        video=source,
        controls={"edge": Control(map=0, weights=tmp_path / "gone.safetensors")},
    )
    assert list(input_hashes(request)) == ["video"]


class Interrupting(np.ndarray):
    """Frames during whose writing Ctrl-C is pressed."""

    def __iter__(self):
        yield next(super().__iter__())
        raise KeyboardInterrupt


def test_an_interrupt_during_any_file_leaves_none(made, tmp_path):
    bad = made.frames.view(Interrupting)
    edge = made.controls["edge"]
    for spoilt in (
        with_plan(made, controls={"edge": bad}),
        with_plan(made, controls={"edge": edge, "vis": bad}),
        attrs.evolve(made, frames=bad),
    ):
        with pytest.raises(KeyboardInterrupt):
            spoilt.save(tmp_path / "out.mp4")
        assert names(tmp_path) == []


def test_a_manifest_that_cannot_be_written_takes_the_videos_with_it(made, tmp_path):
    odd = attrs.evolve(made, weights={"base dit": object()})
    with pytest.raises(TypeError):
        odd.save(tmp_path / "out.mp4")
    assert names(tmp_path) == []


def test_a_report_that_cannot_be_made_takes_the_videos_with_it(made, tmp_path):
    odd = attrs.evolve(made, effective={"edge": object()})
    with pytest.raises((TypeError, AttributeError)):
        odd.save(tmp_path / "out.mp4")
    assert names(tmp_path) == []
    attrs.evolve(made).save(tmp_path / "out.mp4", report=False)
    assert not (tmp_path / "out.report.html").exists()


def test_an_interrupt_while_generating_writes_nothing(pipeline, source, tmp_path):
    def stop(tick):
        if tick.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.generate(video=source, steps=2, progress=stop).save(
            tmp_path / "out.mp4"
        )
    assert names(tmp_path) == []
    assert len(pipeline.generate(video=source, steps=1).frames) == 10


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out.webm", "name it something.mp4"),
        ("gone/out.mp4", "create it or choose another"),
    ],
)
def test_a_place_that_cannot_be_is_refused(made, tmp_path, name, said):
    with pytest.raises(Problems, match=said):
        made.save(tmp_path / name)
    assert names(tmp_path) == []


def test_results_do_not_replace_the_source(made, source):
    before = source.read_bytes()
    with pytest.raises(Problems, match="would replace the video"):
        made.save(source)
    assert source.read_bytes() == before


def test_an_older_result_is_replaced_whole(made, tmp_path):
    out = tmp_path / "out.mp4"
    out.write_text("older")
    manifests.manifest_path(out).write_text("older")
    made.save(out)
    assert record_of(out)["output"]["sha256"] == sha256(out)


def test_a_file_that_is_no_manifest_is_refused(tmp_path):
    path = tmp_path / "x.manifest.json"
    for text in ("", "3", "[]", "{}", '{"format": 1}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(WorldweaveError, match="is not a manifest of worldweave"):
            manifests.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(WorldweaveError, match="is not a manifest of worldweave"):
        manifests.read(path)
