"""Every field of a recipe does to the training what it says."""

import attrs
import pytest
import torch
from torch import nn

from worldweave.train.loop import Trainer, rate
from worldweave.train.task import Task
from worldweave_registry import Recipe


def silent(_):
    pass


def trained(folder, recipe, *, slope=None):
    """Train one matrix; with *slope* its gradient is that number everywhere."""
    torch.manual_seed(0)
    model = nn.Linear(4, 4)

    def loss(generator):
        if slope is not None:
            return slope * (model.weight.sum() + model.bias.sum())
        drawn = torch.randn(recipe.batch_size, 4, generator=generator)
        return (model(drawn) - drawn.roll(1, 1)).square().mean()

    task = Task(what="m", model=model, loss=loss, recipe=recipe, save=lambda _: [])
    trainer = Trainer(task, folder, 3)
    trainer.run(silent)
    return trainer


PLAIN = Recipe(steps=6, learning_rate=0.05, batch_size=4, warmup=2)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.04},
        {"warmup": 3},
        {"cooldown": 0.8},
        {"betas": (0.8, 0.98)},
        {"betas": (0.9, 0.7)},
        {"weight_decay": 0.5},
        {"max_gradient": 0.1},
        {"ema": 0.1},
    ],
    ids=str,
)
def test_another_value_gives_another_result(tmp_path, change):
    one = trained(tmp_path / "one", PLAIN)
    other = trained(tmp_path / "other", attrs.evolve(PLAIN, **change))
    assert not torch.equal(one.average["weight"], other.average["weight"])


@pytest.mark.parametrize("change", [{"sigma_mean": 1.0}, {"sigma_std": 0.2}], ids=str)
def test_other_noise_gives_another_result(trainer, recipe, change):
    one, other = trainer("one"), trainer("other", recipe=attrs.evolve(recipe, **change))
    one.run(silent, until=2)
    other.run(silent, until=2)
    name = "branch.patch_embed.weight"
    assert not torch.equal(one.average[name], other.average[name])


def test_without_a_cooldown_the_rate_stays_at_its_peak():
    recipe = Recipe(steps=20, learning_rate=2.0, warmup=4, cooldown=0)
    assert [rate(step, recipe) for step in range(20)] == [0.5, 1.0, 1.5] + [2.0] * 17


def test_a_cooldown_of_one_falls_all_the_way():
    recipe = Recipe(steps=10, learning_rate=2.0, warmup=0, cooldown=1)
    rates = [rate(step, recipe) for step in range(10)]
    assert rates == pytest.approx([0.2 * left for left in range(10, 0, -1)])


def test_without_an_average_the_last_weights_are_the_result(tmp_path):
    trainer = trained(tmp_path, attrs.evolve(PLAIN, ema=0))
    last = {name: p.detach().clone() for name, p in trainer.named.items()}
    trainer.load_average()
    for name, parameter in trainer.named.items():
        assert torch.equal(parameter, last[name])


def test_the_gradient_is_clipped_where_the_recipe_says(tmp_path):
    trainer = trained(tmp_path, attrs.evolve(PLAIN, max_gradient=0.25), slope=7.0)
    squares = sum(float(p.grad.square().sum()) for p in trainer.named.values())
    assert squares**0.5 == pytest.approx(0.25, rel=1e-4)


def test_matrices_decay_by_the_recipes_share_and_vectors_do_not(tmp_path):
    recipe = attrs.evolve(PLAIN, steps=1, warmup=0, cooldown=0, weight_decay=0.5)
    trainer = trained(tmp_path, recipe, slope=0.0)
    torch.manual_seed(0)
    fresh = nn.Linear(4, 4)
    torch.testing.assert_close(trainer.model.weight, fresh.weight * (1 - 0.05 * 0.5))
    assert torch.equal(trainer.model.bias, fresh.bias)
