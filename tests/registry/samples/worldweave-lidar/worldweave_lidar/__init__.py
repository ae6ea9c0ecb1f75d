"""Sound: LiDAR sweeps. Imported just to be listed, so there is nothing heavy here."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="sweep",
            summary="Range images from a spinning LiDAR",
            license="MIT",
            preprocessor="worldweave_lidar.preprocess:RangeImage",
            recipe="worldweave_lidar.recipe:RECIPE",
            weights=[
                worldweave.Weights(
                    base="cosmos-transfer1-7b",
                    uri="hf://acme/worldweave-lidar/branch.safetensors",
                    license="CC-BY-4.0",
                    bytes=3_573_988_480,
                )
            ],
            default_map=0.7,
        )
    ]
