"""The base tiny-world: Cosmos' architecture at laptop size, weights included."""

import worldweave

PLACE = "package:worldweave_plugins.tinyworld/weights"
SHA256 = {
    "dit": "b26ae7f24aea47be8d575b65962a2207bd2f14cb4b70a1e07690c22a2cb874e1",
    "autoencoder": "fb2b271160c9698811af40e876fbd16bc7a96046e2dd5a91894dd23ea61b9b2f",
    "text_encoder": "d7499543a96f4ec9721553c0366c9b97589911da42e7151f863e4185bd80f371",
    "annotator": "e0aa5acdc7f29b2c090c867edccf6c704414cf0d8e942a8337270fac34ecca96",
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
            fps=24.0,
            steps=16,
            guidance=1.0,
            check_prompt="worldweave_plugins.tinyworld.check:prompt_problems",
            recipe="worldweave_plugins.tinyworld.recipe:RECIPE",
            clips="worldweave_plugins.tinyworld.clips:clips",
            trainings={
                "annotator": "worldweave_plugins.tinyworld.annotator_training:build",
                "decoder": "worldweave_plugins.tinyworld.decoder:build",
            },
            metrics="worldweave_plugins.tinyworld.judge:metrics",
            foreground="worldweave_plugins.tinyworld.judge:foreground",
            weights=WEIGHTS,
            metadata={
                "example": "package:worldweave_plugins.tinyworld/example.mp4",
                "example_prompt": "two red cars on a street by day",
                "demo_clips": "24 28",
                "demo_maps": "edge vis",
            },
        )
    ]
