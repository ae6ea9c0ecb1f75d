"""Has widened its branch after its weights were trained."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            branch="wrong_weights_fit_their_base_branch:Wider",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
            weights=[
                worldweave.Weights(
                    base="tiny-world",
                    uri="package:worldweave_plugins.edge/weights/tiny-world.safetensors",
                    license="Apache-2.0",
                    sha256="6e31754504428a1e0c586ddbc89c90ac35714f0c7799e649969db07e4463f1f4",
                )
            ],
        )
    ]
