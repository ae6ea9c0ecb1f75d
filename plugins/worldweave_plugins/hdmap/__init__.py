"""The hdmap modality: lane lines and 3-D boxes, as a map of the road shows them."""

import worldweave

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)


@worldweave.hookimpl
def worldweave_modalities() -> list[worldweave.Modality]:
    return [
        worldweave.Modality(
            name="hdmap",
            summary="A map video you give: lane lines and boxes drawn on black",
            license="Apache-2.0",
            preprocessor=None,
            is_label_video=True,
            recipe="worldweave_plugins.hdmap.recipe:RECIPE",
            weights=[
                worldweave.Weights(
                    base="tiny-world",
                    uri="package:worldweave_plugins.hdmap/weights/tiny-world.safetensors",
                    license="Apache-2.0",
                    sha256="cfe90fb91248512ee6c5a73ef461fefd7c4940c3e40ad98f443815ee09d8aed6",
                ),
                worldweave.Weights(
                    base="cosmos-transfer1-7b-sample-av",
                    uri="hf://nvidia/Cosmos-Transfer1-7B-Sample-AV/hdmap_control.safetensors",
                    license=NVIDIA,
                ),
            ],
        )
    ]
