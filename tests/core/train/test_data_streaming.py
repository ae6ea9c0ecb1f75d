"""A branch learns from windows of videos that stay on the disk."""

import attrs
import numpy as np
import pytest
import torch

from worldweave.io import video
from worldweave.io.sizes import to_unit
from worldweave.train.branch import control_maker, data_task_of
from worldweave.train.data.films import open_footage
from worldweave.train.data.folder import open_data
from worldweave.train.data.layout import read_layout
from worldweave.train.data.stream import StreamedPairs, watched_clips
from worldweave.train.loop import Trainer
from worldweave.train.random_options import RandomOptions
from worldweave_registry import Problems, WeightsError

LENGTH, FRAMES = 5, 9


def silent(_):
    pass


def film(number, frames=FRAMES, size=(16, 16)):
    """A bright square on dark grey; it moves, its place depends on the number."""
    made = np.full((frames, *size, 3), 40 + 10 * number, np.uint8)
    for at in range(frames):
        left = (number * 3 + at) % (size[1] - 6)
        made[at, 4:10, left : left + 6] = 255 - 30 * number
    return made


@pytest.fixture
def root(tmp_path):
    """A folder of four videos, two with captions."""
    made = tmp_path / "data"
    for part in ("videos", "captions"):
        (made / part).mkdir(parents=True)
    for number in range(4):
        video.write(made / "videos" / f"v{number}.mp4", film(number), 24, crf=0)
    (made / "captions" / "v0.txt").write_text("a e")
    (made / "captions" / "v1.txt").write_text("i o u")
    return made


@pytest.fixture
def inverse(modality):
    return modality("inverse")


@pytest.fixture
def open_pairs(root, base, inverse):
    """Return what opens the folder as it is now, to draw from."""

    def make(modality=inverse, options=None, description=base.description):
        footage = open_footage(read_layout(root, modality.name), modality, description)
        on = attrs.evolve(base, description=description)
        return StreamedPairs(footage, on, modality, control_maker(modality), options)

    return make


@pytest.fixture
def start(root, base, inverse, recipe, setup, tmp_path):
    """A trainer on the folder, as if the program had just started."""

    def make(folder="run", *, recipe=recipe, **changes):
        data = open_data(root, inverse, base.description, silent, is_examined=False)
        task = data_task_of(setup(**changes), inverse, base, recipe, data)
        return Trainer(task, tmp_path / folder, 3)

    return make


def draw(pairs, seed, share=slice(None), size=8):
    return pairs.draw(size, torch.Generator().manual_seed(seed), share)


def windows(base, films):
    """The latent of every window of every film, by (film, start)."""
    return {
        (number, at): base.autoencoder.encode(to_unit(frames[at : at + LENGTH]))[0]
        for number, frames in enumerate(films)
        for at in range(len(frames) - LENGTH + 1)
    }


def test_windows_come_from_anywhere_in_every_video(base, root, open_pairs):
    films = [video.read(root / "videos" / f"v{n}.mp4").frames for n in range(4)]
    known = windows(base, films)
    found = set()
    pairs = open_pairs()
    for seed in range(10):
        batch = draw(pairs, seed, size=16)
        for latent, hint in zip(batch.latents, batch.hints, strict=True):
            (place,) = [p for p, each in known.items() if torch.equal(each, latent)]
            torch.testing.assert_close(hint, -latent, atol=1e-5, rtol=0)
            found.add(place)
    assert found == set(known)


def test_what_is_drawn_is_the_generators_alone(open_pairs):
    pairs = open_pairs()
    one, again, other = draw(pairs, 1), draw(pairs, 1), draw(pairs, 2)
    assert torch.equal(one.latents, again.latents)
    assert one.prompts == again.prompts
    assert not torch.equal(one.latents, other.latents)
    assert set(one.prompts + other.prompts) == {"", "a e", "i o u"}


def test_each_process_reads_its_share_of_the_same_batch(open_pairs):
    pairs = open_pairs()
    whole = draw(pairs, 1)
    for share in (slice(0, 4), slice(4, 8)):
        part = draw(pairs, 1, share)
        assert torch.equal(part.latents[share], whole.latents[share])
        assert torch.equal(part.hints, whole.hints[share])
        assert part.prompts == whole.prompts[share]
        assert part.latents.shape == whole.latents.shape
        rest = torch.ones(8, dtype=torch.bool)
        rest[share] = False
        assert not part.latents[rest].any()


def test_a_control_that_is_a_file_wins(root, base, open_pairs):
    (root / "inverse").mkdir()
    for number in range(4):
        level = np.full((FRAMES, 16, 16, 3), 50 * number, np.uint8)
        np.save(root / "inverse" / f"v{number}.npy", level)
    found = draw(open_pairs(), 1, size=32).hints.mean(dim=(1, 2, 3, 4))
    levels = ((found + 1) * 127.5).round().int().tolist()
    assert set(levels) == {0, 50, 100, 150}


def test_options_are_drawn_for_windows_too(
    open_pairs, tmp_path, monkeypatch, modality, recipe, root
):
    (tmp_path / "toy_shade.py").write_text(
        "import attrs, numpy as np\n@attrs.frozen(kw_only=True)\nclass Shade:\n"
        "    shade: int = 0\n    def __call__(self, frames):\n"
        "        return np.full_like(frames, self.shade)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    shade = modality("shade", "toy_shade:Shade")
    recipe = attrs.evolve(recipe, random_options={"shade": (60, 200)})
    (root / "shade").mkdir()
    np.save(root / "shade" / "v0.npy", np.full((FRAMES, 16, 16, 3), 90, np.uint8))
    pairs = open_pairs(shade, RandomOptions.of(shade, recipe))
    whole = draw(pairs, 1, size=16)
    levels = ((whole.hints.mean(dim=(1, 2, 3, 4)) + 1) * 127.5).round().int().tolist()
    assert set(levels) == {60, 90, 200}
    assert torch.equal(draw(pairs, 1, slice(8, 16), 16).hints, whole.hints[8:])


def test_a_batch_has_one_size_and_each_size_its_turn(root, base, open_pairs):
    for number in (1, 3):
        path = root / "videos" / f"v{number}.mp4"
        video.write(path, film(number, size=(16, 32)), 24)
    wide = attrs.evolve(base.description, sizes=((16, 16), (16, 32)))
    pairs = open_pairs(description=wide)
    shapes = [tuple(draw(pairs, seed, size=3).latents.shape) for seed in range(8)]
    assert set(shapes) == {(3, 3, 2, 4, 4), (3, 3, 2, 4, 8)}


def test_training_on_a_folder_lowers_the_loss(start, recipe):
    seen = []
    longer = attrs.evolve(
        recipe, steps=24, learning_rate=0.02, batch_size=4, cooldown=0
    )
    start(recipe=longer).run(lambda now: seen.append(now.loss))
    assert sum(seen[-8:]) < 0.8 * sum(seen[:8])


def test_going_on_after_a_stop_changes_no_bit(start):
    whole, first = start("whole"), start("parts")
    whole.run(silent)
    first.run(silent, until=3)
    second = start("parts")
    assert "continued from step 3" in second.resume()
    second.run(silent)
    for name, parameter in whole.named.items():
        assert torch.equal(second.named[name], parameter)


def test_going_on_with_other_data_is_refused(start, root):
    start().run(silent, until=1)
    (root / "captions" / "v2.txt").write_text("a new caption")
    with pytest.raises(
        WeightsError,
        match=r"its subject is inverse for toy from 4 videos \(files \w{12}\), here "
        r"it is inverse for toy from 4 videos \(files \w{12}\); use another",
    ):
        start().resume()


def test_held_out_videos_are_watched_and_never_trained_on(
    root, base, inverse, recipe, setup
):
    data = open_data(root, inverse, base.description, silent, is_examined=False)
    (watched,) = data.watched
    assert len(data.trained) == 3
    assert watched not in data.trained
    task = data_task_of(setup(), inverse, base, recipe, data)
    assert task.about == f"4 videos, of which {watched.name} is held out"
    error, _ = task.monitors
    frames = video.read(watched.video.path).frames
    wanted = [
        base.autoencoder.encode(to_unit(frames[at : at + LENGTH])) for at in range(5)
    ]
    assert torch.equal(error.clean, torch.cat(wanted))
    assert set(error.predictions) == {"right", "none", "wrong"}


def test_a_single_window_has_no_other_to_be_wrong_with(
    root, base, inverse, recipe, setup
):
    for number in range(4):
        path = root / "videos" / f"v{number}.mp4"
        video.write(path, film(number, frames=LENGTH), 24)
    data = open_data(root, inverse, base.description, silent, is_examined=False)
    error, _ = data_task_of(setup(), inverse, base, recipe, data).monitors
    assert set(error.predictions) == {"right", "none"}


def test_one_video_alone_is_trained_on_unwatched(root, base, inverse, recipe, setup):
    for number in range(1, 4):
        (root / "videos" / f"v{number}.mp4").unlink()
    (root / "captions" / "v1.txt").unlink()
    data = open_data(root, inverse, base.description, silent, is_examined=False)
    task = data_task_of(setup(), inverse, base, recipe, data)
    assert task.monitors == ()
    assert task.about == "1 video, so none is held out to be watched"


def test_watched_windows_are_spread_over_the_videos(root, base, inverse):
    levels = np.arange(8, 248, 4, dtype=np.uint8)
    rising = np.broadcast_to(levels[:, None, None, None], (60, 16, 16, 3))
    for number in range(4):
        video.write(root / "videos" / f"v{number}.mp4", rising, 24)
    footage = open_footage(read_layout(root, "inverse"), inverse, base.description)
    clips = watched_clips(footage, LENGTH, inverse)
    starts = [round((clip.video[0].mean() - 8) / 4) for clip in clips]
    assert starts == [0, 14, 28, 42] * 4
    assert watched_clips((), LENGTH, inverse) == []


def test_a_folder_is_looked_at_before_it_is_trained_on(root, base, inverse):
    (root / "captions" / "v3.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(Problems, match=rf"{root}/captions: .*cannot be read"):
        open_data(root, inverse, base.description, silent)
    (root / "captions" / "v3.txt").unlink()
    said = []
    data = open_data(root, inverse, base.description, said.append)
    assert len(data) == 4
    assert any(
        line.startswith(f"warning: {root}/captions: 2 of 4 videos have no caption")
        for line in said
    )
