"""How a flow branch is trained; the noise is high, where motion is decided."""

from worldweave import Recipe

RECIPE = Recipe(
    steps=500,
    learning_rate=1.5e-3,
    batch_size=12,
    sigma_mean=0.5,
    sigma_std=1.2,
    random_options={"reach": [1.5, 2.0, 3.0]},
)
