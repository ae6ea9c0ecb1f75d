"""The edge modality: where the picture has contours."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities() -> list[worldweave.Modality]:
    return [
        worldweave.Modality(
            name="edge",
            summary="Canny edges: keeps contours, leaves colour and light free",
            license="Apache-2.0",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
