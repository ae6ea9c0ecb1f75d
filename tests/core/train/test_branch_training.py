"""A branch learns to control a base that stays as it is."""

import attrs
import numpy as np
import pytest
import torch

from worldweave.checkpoints import store
from worldweave.loading import Placement, load_branch, new_branch
from worldweave.model.step import Step
from worldweave.model.weave import weave
from worldweave.train.branch import (
    Controlled,
    branch_trainer,
    control_maker,
    save_branch,
)
from worldweave.train.clips import ClipSet
from worldweave.train.loop import Trainer
from worldweave.train.objective import Objective
from worldweave_registry import Modality, PluginError, WorldweaveError

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32)


def silent(_):
    pass


def contents(module):
    return {k: v.numpy().tobytes() for k, v in module.state_dict().items()}


def test_twelve_steps_on_one_batch_lower_the_loss(base, clips, recipe, trainer):
    fresh = trainer("fresh")
    data = ClipSet(clips, base.autoencoder)
    every = range(len(clips))
    hints = data.hints(every, lambda clip: clip.controls["place"])
    text = base.text_encoder.encode(data.prompts(every))
    objective = Objective(sigma_mean=0.0, sigma_std=1.0)
    seen = []

    def loss(_):
        return objective.loss(
            lambda latent, step: fresh.model(latent, step, hints),
            data.latents,
            text,
            24.0,
            torch.Generator().manual_seed(1),
        )

    longer = attrs.evolve(recipe, steps=12)
    Trainer(fresh.model, loss, longer, fresh.folder, 0).run(
        lambda progress: seen.append(progress.loss)
    )
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
    place = modality("place", None)
    path = save_branch(trained, place, "toy", tmp_path)
    assert path == tmp_path / "place.safetensors"
    assert store.header(path).metadata == {
        "kind": "branch",
        "modality": "place",
        "base": "toy",
    }
    branch = load_branch(place, base.config, CPU, path)
    stored = store.read(path)
    assert {t.dtype for t in stored.values()} == {torch.bfloat16}
    for name, average in trained.average.items():
        loaded = branch.get_parameter(name.removeprefix("branch."))
        assert torch.equal(loaded, average.to(torch.bfloat16).float())
        assert not loaded.requires_grad


def test_controls_are_made_once_and_when_first_used(base, clips):
    made = []

    def make(clip):
        made.append(clip.prompt)
        return clip.controls["place"]

    data = ClipSet(clips, base.autoencoder)
    assert made == []
    first = data.hints([4, 1], make)
    again = data.hints([1, 4, 4], make)
    assert made == [clips[4].prompt, clips[1].prompt]
    assert torch.equal(again, first[[1, 0, 0]])


def test_videos_are_encoded_once_in_their_order(base, clips):
    many = [*clips, *clips[::-1], *clips]
    latents = ClipSet(many, base.autoencoder).latents
    assert latents.shape == (18, 3, 2, 4, 4)
    for number in (0, 5, 6, 17):
        alone = ClipSet([many[number]], base.autoencoder).latents
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
    base, modality, recipe, clips, tmp_path
):
    unknown = modality("depth", None)
    with pytest.raises(WorldweaveError, match="'depth' has no preprocessor and"):
        control_maker(unknown)(clips[0])
    started = branch_trainer(unknown, base, recipe, tmp_path, clips, seed=0)
    with pytest.raises(WorldweaveError, match="'depth' has no preprocessor and"):
        started.run(silent)


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


def test_two_makers_of_controls_do_not_share_them(base, clips):
    data = ClipSet(clips, base.autoencoder)
    first = data.hints([0], lambda clip: clip.video)
    second = data.hints([0], lambda clip: 255 - clip.video)
    assert not torch.equal(first, second)
