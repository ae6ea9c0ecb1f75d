"""The lidar modality: the points a laser scanner measures, seen by the camera."""

import worldweave

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)


@worldweave.hookimpl
def worldweave_modalities() -> list[worldweave.Modality]:
    return [
        worldweave.Modality(
            name="lidar",
            summary="A scan video you give: points coloured by depth on black",
            license="Apache-2.0",
            preprocessor=None,
            is_label_video=True,
            recipe="worldweave_plugins.lidar.recipe:RECIPE",
            weights=[
                worldweave.Weights(
                    base="tiny-world",
                    uri="package:worldweave_plugins.lidar/weights/tiny-world.safetensors",
                    license="Apache-2.0",
                    sha256="af455732d9b2e1b1175198392b41370118297bb227e73277e4efd52dfb26e3da",
                ),
                worldweave.Weights(
                    base="cosmos-transfer1-7b-sample-av",
                    uri="hf://nvidia/Cosmos-Transfer1-7B-Sample-AV/lidar_control.safetensors",
                    license=NVIDIA,
                ),
            ],
        )
    ]
