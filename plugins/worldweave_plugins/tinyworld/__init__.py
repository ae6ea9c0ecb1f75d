"""The base tiny-world: Cosmos' architecture at laptop size, weights included."""

import worldweave

PLACE = "package:worldweave_plugins.tinyworld/weights"
WEIGHTS = [
    worldweave.Weights(
        base="tiny-world",
        part=part,
        uri=f"{PLACE}/{part}.safetensors",
        license="Apache-2.0",
    )
    for part in ("dit", "autoencoder", "text_encoder")
]


@worldweave.hookimpl
def worldweave_bases() -> list[worldweave.Base]:
    return [
        worldweave.Base(
            name="tiny-world",
            summary="Streets and robot arms at 64x96, made and trained on a laptop",
            license="Apache-2.0",
            config="worldweave_plugins.tinyworld.config:CONFIG",
            autoencoder="worldweave_plugins.tinyworld.autoencoder:load",
            text_encoder="worldweave_plugins.tinyworld.words:load",
            chunk_frames=9,
            sizes=((64, 96),),
            fps=24.0,
            steps=16,
            guidance=1.0,
            check_prompt="worldweave_plugins.tinyworld.check:prompt_problems",
            recipe="worldweave_plugins.tinyworld.recipe:RECIPE",
            clips="worldweave_plugins.tinyworld.clips:clips",
            weights=WEIGHTS,
            metadata={
                "example": "package:worldweave_plugins.tinyworld/example.mp4",
                "example_prompt": "two red cars on a street by day",
            },
        )
    ]
