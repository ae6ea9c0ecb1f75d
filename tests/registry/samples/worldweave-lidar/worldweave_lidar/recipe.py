"""How a branch for sweeps is trained."""

from worldweave import Recipe

RECIPE = Recipe(
    steps=40_000,
    learning_rate=1e-4,
    base="cosmos-transfer1-7b",
    random_options={"palette": ["turbo", "jet"]},
)
