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
                    sha256="3df93c2ea6ab72c4304dbcc6fbbac6c69afcdffbc08e6acb0e5a2de4bb1dc1e6",
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
