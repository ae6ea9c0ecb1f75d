"""How the tiny base is trained, on a CPU, from clips rendered in memory."""

from worldweave import Recipe

RECIPE = Recipe(
    steps=7000,
    learning_rate=1.5e-3,
    batch_size=12,
    warmup=100,
    sigma_mean=0.0,
    sigma_std=1.4,
)
