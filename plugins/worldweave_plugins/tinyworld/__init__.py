"""The base tiny-world: Cosmos' architecture at laptop size, weights included."""

import worldweave

PLACE = "package:worldweave_plugins.tinyworld/weights"
SHA256 = {
    "dit": "526769905b65111f4dcdcae80105945093b641bed5b6090ccfa17f78028f0a6a",
    "autoencoder": "2af6bc61eb647a5c5bbc7ce83d3b2cd7c03e77d9de23b90fcc834d772fed1c9b",
    "text_encoder": "a5888c9b290cb1f09f94cfe428224a300ae77eb0f94182d98a3660975b32ceb8",
    "annotator": "c9b1094a7f654b5056fa5a4651346adf91f4f18267a4cccef4d682f80dbfcbcc",
    "maps": "94ddcb4b625db18a5c277e88b66b3df07c55975250bca63dd41301500c061438",
}
WEIGHTS = [
    worldweave.Weights(
        base="tiny-world",
        part=part,
        uri=f"{PLACE}/{part}.safetensors",
        license="Apache-2.0",
        sha256=digest,
    )
    for part, digest in SHA256.items()
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
            strides=(4, 4),
            fps=24.0,
            steps=10,
            guidance=1.0,
            check_prompt="worldweave_plugins.tinyworld.check:prompt_problems",
            recipe="worldweave_plugins.tinyworld.recipe:RECIPE",
            clips="worldweave_plugins.tinyworld.clips:clips",
            trainings={
                "annotator": "worldweave_plugins.tinyworld.annotator_training:build",
                "decoder": "worldweave_plugins.tinyworld.decoder:build",
            },
            metrics="worldweave_plugins.tinyworld.judge:metrics",
            cost="worldweave_plugins.tinyworld.cost:cost",
            foreground="worldweave_plugins.tinyworld.judge:foreground",
            weights=WEIGHTS,
            metadata={
                "example": "package:worldweave_plugins.tinyworld/example.mp4",
                "example_prompt": "two red cars on a street by day",
                "demo_clips": "6 28",
                "demo_maps": "edge vis",
            },
        )
    ]
