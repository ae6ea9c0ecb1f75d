"""A branch learns to control a base that stays as it is."""

import sys
import weakref

import attrs
import numpy as np
import pytest
import torch

from worldweave.checkpoints import store
from worldweave.io.sizes import to_unit
from worldweave.loading import Placement, load_branch, new_branch
from worldweave.model.step import Step
from worldweave.model.weave import weave
from worldweave.train.branch import Controlled, control_maker, task_of
from worldweave.train.clips import ClipSet, latent_dtype
from worldweave.train.loop import Trainer
from worldweave.train.objective import Objective
from worldweave_registry import (
    Lazy,
    Modality,
    PluginError,
    WeightsError,
    WorldweaveError,
)

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32)


REPORT = "report it to toy 1: https://example.com/toy/issues"


def silent(_):
    pass


@pytest.fixture
def failing(modality, tmp_path, monkeypatch):
    """Return what makes a modality whose branch has one method of its own."""

    def make(method, body):
        (tmp_path / "toy_failing.py").write_text(
            "from worldweave import CosmosBranch\n"
            "class Failing(CosmosBranch):\n"
            f"    def {method}:\n"
            f"        {body}\n"
        )
        monkeypatch.delitem(sys.modules, "toy_failing", raising=False)
        branch = Lazy("toy_failing:Failing", report=REPORT)
        return attrs.evolve(modality("place", None), branch=branch)

    return make


def contents(module):
    return {k: v.numpy().tobytes() for k, v in module.state_dict().items()}


def test_twelve_steps_on_one_batch_lower_the_loss(base, clips, recipe, trainer):
    fresh = trainer("fresh")
    data = ClipSet(clips, base.autoencoder, lambda clip: clip.controls["place"])
    every = range(len(clips))
    hints = data.hints(every)
    text = base.text_encoder.encode(data.prompts)
    objective = Objective(sigma_mean=0.0, sigma_std=1.0)
    seen = []

    def loss(_):
        return objective.loss(
            lambda latent, step: fresh.model(latent, step, hints),
            data.latents(every),
            text,
            24.0,
            torch.Generator().manual_seed(1),
        )

    longer = attrs.evolve(recipe, steps=12)
    task = attrs.evolve(fresh.task, loss=loss, recipe=longer)
    Trainer(task, fresh.folder, 0).run(lambda progress: seen.append(progress.loss))
    assert seen[-1] < 0.9 * seen[0]


def test_only_the_branch_is_trained(base, trainer):
    before = contents(base.dit)
    started = trainer()
    assert all(name.startswith("branch.") for name in started.named)
    assert not any(".head." in name for name in started.named)
    start = {n: p.detach().clone() for n, p in started.named.items()}
    started.run(silent)
    assert contents(base.dit) == before
    assert all(p.grad is None for p in base.dit.parameters())
    still = [n for n, p in started.named.items() if torch.equal(p, start[n])]
    assert still == []


def test_a_branch_starts_from_the_base_and_says_nothing(base, trainer):
    model = trainer().model
    own, theirs = model.branch.state_dict(), base.dit.state_dict()
    name = "blocks.0.mlp.up.weight"
    assert torch.equal(own[name], theirs[name])
    latent, hint = torch.randn(2, 1, 3, 2, 4, 4)
    step = Step(c_noise=torch.zeros(1), text=torch.randn(1, 1, 5), fps=24.0)
    assert torch.equal(model(latent, step, hint), base.dit(latent, step))


def test_training_controls_the_base_as_generation_does_at_map_one(base, trainer):
    trained = trainer()
    trained.run(silent)
    model = trained.model
    assert isinstance(model, Controlled)
    latent, hint = torch.randn(2, 2, 3, 2, 4, 4)
    step = Step(c_noise=torch.zeros(2), text=torch.randn(2, 1, 5), fps=24.0)
    ones = {"place": torch.ones(1, 2, 2, 2)}
    wanted = weave(
        base.dit, {"place": model.branch}, latent, step, {"place": hint}, ones
    )
    assert torch.equal(model(latent, step, hint), wanted)
    assert not torch.equal(wanted, base.dit(latent, step))


def test_the_result_is_the_average_in_bfloat16_and_loads_strictly(
    base, modality, trainer, tmp_path
):
    trained = trainer()
    trained.run(silent)
    trained.load_average()
    (path,) = trained.task.save(tmp_path)
    assert path == tmp_path / "place.safetensors"
    assert store.header(path).metadata == {
        "kind": "branch",
        "modality": "place",
        "base": "toy",
    }
    place = modality("place", None)
    branch = load_branch(place, base.config, CPU, path)
    stored = store.read(path)
    assert {t.dtype for t in stored.values()} == {torch.bfloat16}
    for name, average in trained.average.items():
        loaded = branch.get_parameter(name.removeprefix("branch."))
        assert torch.equal(loaded, average.to(torch.bfloat16).float())
        assert not loaded.requires_grad


def test_controls_become_hints_as_the_autoencoder_sees_them(base, clips):
    data = ClipSet(clips, base.autoencoder, lambda clip: clip.controls["place"])
    wanted = base.autoencoder.encode_hint(to_unit(clips[4].controls["place"]))
    torch.testing.assert_close(data.hints([1, 4])[1:], wanted)


def test_a_clip_is_let_go_once_it_is_encoded(base, clips):
    alive = []

    def one_by_one():
        for clip in clips:
            copy = attrs.evolve(clip, video=clip.video.copy())
            alive.append(weakref.ref(copy.video))
            yield copy

    data = ClipSet(one_by_one(), base.autoencoder)
    assert len(data) == len(alive) == 6
    assert all(video() is None for video in alive)


def test_without_a_control_there_are_no_hints(base, clips):
    with pytest.raises(ValueError, match="give ClipSet a control"):
        ClipSet(clips, base.autoencoder).hints([0])


def test_many_clips_are_kept_in_half_precision(base, clips):
    assert latent_dtype(3999) == torch.float32
    assert latent_dtype(4000) == torch.float16
    exact = ClipSet(clips, base.autoencoder).latents(range(6))
    lean = ClipSet(clips, base.autoencoder, dtype=torch.float16).latents(range(6))
    assert lean.dtype == torch.float32
    torch.testing.assert_close(lean, exact, rtol=1e-3, atol=1e-4)


def test_videos_are_encoded_once_in_their_order(base, clips):
    many = [*clips, *clips[::-1], *clips]
    latents = ClipSet(many, base.autoencoder).latents(range(18))
    assert latents.shape == (18, 3, 2, 4, 4)
    for number in (0, 5, 6, 17):
        alone = ClipSet([many[number]], base.autoencoder).latents([0])
        torch.testing.assert_close(latents[number], alone[0])


def test_clips_are_drawn_by_the_generator_alone(base, clips):
    data = ClipSet(clips, base.autoencoder)
    one, other = (data.draw(50, torch.Generator().manual_seed(2)) for _ in range(2))
    assert one == other
    assert set(one) == set(range(6))


def test_no_clips_are_refused(base):
    with pytest.raises(WorldweaveError, match="there are no training clips"):
        ClipSet([], base.autoencoder)


def test_the_makers_own_control_comes_before_the_preprocessor(modality, clips):
    own = control_maker(modality("place"))(clips[0])
    assert np.array_equal(own, clips[0].controls["place"])
    made = control_maker(modality("inverse"))(clips[0])
    assert np.array_equal(made, 255 - clips[0].video)


def test_a_modality_that_can_make_no_control_is_refused(
    base, modality, recipe, clips, setup
):
    unknown = modality("depth", None)
    with pytest.raises(WorldweaveError, match="'depth' has no preprocessor and"):
        task_of(setup(), unknown, base, recipe, clips)


def test_a_preprocessor_that_fails_is_named_not_traced(tmp_path, monkeypatch, clips):
    (tmp_path / "toy_broken.py").write_text(
        "class Flat:\n    def __call__(self, frames):\n        return frames[..., 0]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    broken = Modality(
        name="flat",
        summary="Loses the colour axis",
        license="MIT",
        preprocessor="toy_broken:Flat",
    )
    with pytest.raises(
        PluginError, match=r"preprocessor of 'flat' gave uint8 .* author"
    ):
        control_maker(broken)(clips[0])


def test_a_branch_that_cannot_be_built_is_named_not_traced(base):
    odd = Modality(
        name="odd",
        summary="Its branch takes no config",
        license="MIT",
        preprocessor=None,
        branch="builtins:object",
    )
    with pytest.raises(PluginError, match="branch of 'odd' cannot be built"):
        new_branch(odd, base.config)


def test_a_training_may_start_from_the_result_of_another(trainer, tmp_path):
    first = trainer("first")
    first.run(silent)
    first.load_average()
    (path,) = first.task.save(tmp_path)
    for init in (path, tmp_path):
        second = trainer("second", init=init)
        assert second.task.started_from.startswith("place ")
        for name, parameter in second.named.items():
            wanted = first.average[name].to(torch.bfloat16).float()
            assert torch.equal(parameter, wanted)
            assert torch.equal(second.average[name], wanted)
            assert parameter.requires_grad


def test_a_state_that_started_from_other_weights_is_refused(trainer, tmp_path):
    first = trainer("first")
    first.run(silent, until=1)
    first.task.save(tmp_path)
    second = trainer("first", init=tmp_path)
    with pytest.raises(
        WeightsError, match=r"its start is fresh weights, here it is pl"
    ):
        second.resume()


@pytest.mark.parametrize(
    ("init", "says"),
    [
        ("gone.safetensors", "no such file or folder; give place.safetensors"),
        ("empty", "there is no place.safetensors in it"),
        ("words.txt", "not a safetensors file"),
        ("other.safetensors", "does not fit a new place to train"),
    ],
)
def test_weights_that_cannot_be_started_from_are_refused(trainer, tmp_path, init, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("I am no checkpoint, I am some words.")
    store.write(tmp_path / "other.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(WorldweaveError, match=says):
        trainer(init=tmp_path / init)


def test_a_branch_says_which_files_of_the_base_it_stands_on(
    base, modality, recipe, clips, setup, tmp_path
):
    (tmp_path / "dit").write_bytes(b"")
    files = {"dit": tmp_path / "dit"}
    task = task_of(
        setup(),
        modality("place", None),
        attrs.evolve(base, files=files),
        recipe,
        clips,
    )
    assert task.stands_on == "dit e3b0c44298fc"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise RuntimeError('no flux')", "'place' failed: RuntimeError: no flux"),
        (
            "return [r.detach() for r in super().forward(latent, step, hint)]",
            "the branch of 'place' cannot be trained: no gradient reaches its param",
        ),
        ("raise SystemExit('no key')", "'place' failed: SystemExit: no key"),
        (
            "return 3 * super().forward(latent, step, hint)",
            "'place' gave 3 residuals but the base has 2 blocks",
        ),
    ],
)
def test_a_branch_that_fails_in_training_is_named_with_whom_to_tell(
    base, recipe, clips, setup, failing, body, says
):
    branch = failing("forward(self, latent, step, hint)", body)
    task = task_of(setup(), branch, base, recipe, clips)
    with pytest.raises(PluginError) as failure:
        task.loss(torch.Generator().manual_seed(0))
    assert says in str(failure.value)
    assert str(failure.value).endswith(f"; {REPORT}")


def test_a_branch_that_cannot_start_from_the_base_is_named(
    base, recipe, clips, setup, failing
):
    branch = failing("start_from(self, base)", "base.no_such_block")
    with pytest.raises(PluginError, match=r"^start_from of the branch of 'place' fai"):
        task_of(setup(), branch, base, recipe, clips)


@pytest.mark.parametrize(
    "body",
    [
        "return [r / 0 * 0 for r in super().forward(latent, step, hint)]",
        "return [r.square().sqrt() for r in super().forward(latent, step, hint)]",
    ],
    ids=["residual", "gradient alone"],
)
def test_a_branch_that_is_not_finite_at_once_is_not_told_to_learn_slower(
    base, recipe, clips, setup, failing, tmp_path, body
):
    branch = failing("forward(self, latent, step, hint)", body)
    task = task_of(setup(), branch, base, recipe, clips)
    with pytest.raises(PluginError, match=r"first step: loss .*branch of 'place' must"):
        Trainer(task, tmp_path / "run", 3).run(silent)
    broken = attrs.evolve(task, recipe=attrs.evolve(recipe, learning_rate=1e30))
    later = Trainer(broken, tmp_path / "later", 3)
    later.step = 1
    with pytest.raises(WorldweaveError, match=r"diverged at step 1: .* below 1e\+30"):
        later.run(silent)
