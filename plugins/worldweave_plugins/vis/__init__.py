"""The vis modality: colour and light without detail."""

import worldweave

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)


@worldweave.hookimpl
def worldweave_modalities() -> list[worldweave.Modality]:
    return [
        worldweave.Modality(
            name="vis",
            summary="The blurred video: keeps colour and light, leaves detail free",
            license="Apache-2.0",
            preprocessor="worldweave_plugins.vis.preprocess:Blur",
            recipe="worldweave_plugins.vis.recipe:RECIPE",
            metric="worldweave_plugins.vis.metric:BlurSSIM",
            weights=[
                worldweave.Weights(
                    base="tiny-world",
                    uri="package:worldweave_plugins.vis/weights/tiny-world.safetensors",
                    license="Apache-2.0",
                    sha256="f699e63db299d1c067e55fad77131eded17b1fbe33e83e030be25f61df583255",
                ),
                worldweave.Weights(
                    base="cosmos-transfer1-7b",
                    uri="hf://nvidia/Cosmos-Transfer1-7B/vis_control.safetensors",
                    license=NVIDIA,
                    bytes=3_573_988_480,
                ),
            ],
        )
    ]
