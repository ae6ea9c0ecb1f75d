"""Trains on clips of eight frames, which no causal autoencoder takes."""

import worldweave

RECIPE = worldweave.Recipe(
    steps=900,
    learning_rate=1.5e-3,
    dataset="wrong_two_training_steps_run:clips",
)


def clips(seed, count):
    """Yield lights that move to the right."""
    import numpy as np

    for number in range(seed, seed + count):
        video = np.zeros((8, 64, 96, 3), np.uint8)
        for at, frame in enumerate(video):
            column = (7 * number + 2 * at) % 80
            frame[20:36, column : column + 16] = 255
        yield worldweave.Clip(video=video, prompt="")


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            recipe="wrong_two_training_steps_run:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
