"""The edge modality: where the picture has contours."""

import worldweave

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)


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
            weights=[
                worldweave.Weights(
                    base="tiny-world",
                    uri="package:worldweave_plugins.edge/weights/tiny-world.safetensors",
                    license="Apache-2.0",
                    sha256="6e31754504428a1e0c586ddbc89c90ac35714f0c7799e649969db07e4463f1f4",
                ),
                worldweave.Weights(
                    base="cosmos-transfer1-7b",
                    uri="hf://nvidia/Cosmos-Transfer1-7B/edge_control.safetensors",
                    license=NVIDIA,
                    bytes=3_573_988_480,
                ),
            ],
        )
    ]
