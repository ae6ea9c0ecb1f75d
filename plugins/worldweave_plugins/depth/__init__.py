"""The depth modality: how far away everything is."""

import worldweave

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)


@worldweave.hookimpl
def worldweave_modalities() -> list[worldweave.Modality]:
    return [
        worldweave.Modality(
            name="depth",
            summary="A depth video you give: gray, the nearer the brighter",
            license="Apache-2.0",
            preprocessor=None,
            recipe="worldweave_plugins.depth.recipe:RECIPE",
            metadata={"polarity": "near is bright, far is dark"},
            weights=[
                worldweave.Weights(
                    base="tiny-world",
                    uri="package:worldweave_plugins.depth/weights/tiny-world.safetensors",
                    license="Apache-2.0",
                    sha256="2cb9bb032fc7245aa29b11c263bdf7a6d76c99a49057abe6091b0ddea34992ee",
                ),
                worldweave.Weights(
                    base="cosmos-transfer1-7b",
                    uri="hf://nvidia/Cosmos-Transfer1-7B/depth_control.safetensors",
                    license=NVIDIA,
                    bytes=3_573_988_480,
                ),
            ],
        )
    ]
