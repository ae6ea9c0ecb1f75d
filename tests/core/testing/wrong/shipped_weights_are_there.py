"""Ships weights that were trained anew, with the checksum of the old ones."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
            weights=[
                worldweave.Weights(
                    base="tiny-world",
                    uri="package:worldweave_plugins.edge/weights/tiny-world.safetensors",
                    license="MIT",
                    sha256="5f" * 32,
                )
            ],
        )
    ]
