"""The seg modality: what belongs to which thing."""

import worldweave

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)


@worldweave.hookimpl
def worldweave_modalities() -> list[worldweave.Modality]:
    return [
        worldweave.Modality(
            name="seg",
            summary="A label video you give: one flat colour for each thing",
            license="Apache-2.0",
            preprocessor=None,
            is_label_video=True,
            recipe="worldweave_plugins.seg.recipe:RECIPE",
            weights=[
                worldweave.Weights(
                    base="tiny-world",
                    uri="package:worldweave_plugins.seg/weights/tiny-world.safetensors",
                    license="Apache-2.0",
                    sha256="f436afb216e9375c8817aac17cd127c84cf16d62d76054bf726fae4b5222a91d",
                ),
                worldweave.Weights(
                    base="cosmos-transfer1-7b",
                    uri="hf://nvidia/Cosmos-Transfer1-7B/seg_control.safetensors",
                    license=NVIDIA,
                    bytes=3_573_988_480,
                ),
            ],
        )
    ]
