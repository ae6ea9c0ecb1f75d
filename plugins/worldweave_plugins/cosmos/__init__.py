"""The official bases: Cosmos-Transfer1-7B and its variant for driving videos."""

import worldweave
from worldweave_plugins.cosmos.places import worldweave_fetch

__all__ = ["worldweave_bases", "worldweave_fetch"]

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)
#: The nearest aspect ratio is taken; (height, width) in pixels.
SIZES = ((704, 1280), (704, 960), (960, 960), (960, 704), (1280, 704))


@worldweave.hookimpl
def worldweave_bases() -> list[worldweave.Base]:
    return [
        _base(
            "cosmos-transfer1-7b",
            "NVIDIA's 7B world model: 121 frames at 704x1280 under any control",
            config="worldweave_plugins.cosmos.config:COSMOS_7B",
            dit="hf://nvidia/Cosmos-Transfer1-7B/base_model.safetensors",
            size=14_472_417_280,
        ),
        _base(
            "cosmos-transfer1-7b-sample-av",
            "NVIDIA's 7B world model after training on driving, for hdmap and lidar",
            config="worldweave_plugins.cosmos.config:COSMOS_AV",
            dit="hf://nvidia/Cosmos-Transfer1-7B-Sample-AV/base_model.safetensors",
            size=14_472_384_512,
        ),
    ]


def _base(
    name: str, summary: str, *, config: str, dit: str, size: int
) -> worldweave.Base:
    """Describe a base; the two differ in their DiT alone."""
    return worldweave.Base(
        name=name,
        summary=summary,
        license=NVIDIA,
        config=config,
        autoencoder="worldweave_plugins.cosmos.autoencoder:load",
        text_encoder="worldweave_plugins.cosmos.text:load",
        chunk_frames=121,
        sizes=SIZES,
        cost="worldweave_plugins.cosmos.cost:cost",
        fps=24.0,
        steps=35,
        guidance=5.0,
        weights=[
            worldweave.Weights(
                base=name, part="dit", uri=dit, license=NVIDIA, bytes=size
            ),
            # The same autoencoder NVIDIA publishes for Transfer1 as TorchScript.
            worldweave.Weights(
                base=name,
                part="autoencoder",
                uri="hf://nvidia/Cosmos-1.0-Diffusion-7B-Text2World/vae",
                license=NVIDIA,
            ),
            worldweave.Weights(
                base=name,
                part="text_encoder",
                uri="hf://google-t5/t5-11b",
                license="Apache-2.0",
                bytes=45_200_000_000,
            ),
        ],
    )
