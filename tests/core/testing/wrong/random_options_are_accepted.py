"""Draws an option that was called otherwise before."""

import worldweave

RECIPE = worldweave.Recipe(
    steps=900, learning_rate=1.5e-3, random_options={"strength": ["low", "high"]}
)


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            recipe="wrong_random_options_are_accepted:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
