"""The vis modality: colour and light without detail."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities() -> list[worldweave.Modality]:
    return [
        worldweave.Modality(
            name="vis",
            summary="The blurred video: keeps colour and light, leaves detail free",
            license="Apache-2.0",
            preprocessor="worldweave_plugins.vis.preprocess:Blur",
            recipe="worldweave_plugins.vis.recipe:RECIPE",
            metric="worldweave_plugins.vis.metric:BlurSSIM",
        )
    ]
