"""How an hdmap branch is trained, from controls that the clips bring along."""

from worldweave import Recipe

RECIPE = Recipe(
    steps=900,
    learning_rate=1.5e-3,
    batch_size=12,
    warmup=50,
    sigma_mean=0.5,
    sigma_std=1.2,
)
