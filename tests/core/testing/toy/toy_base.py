"""A base so small that a plugin is judged on it in a moment."""

from pathlib import Path

import worldweave


@worldweave.hookimpl
def worldweave_bases():
    return [
        worldweave.Base(
            name="toy",
            summary="Noise, quickly",
            license="MIT",
            config="toy_base_parts:CONFIG",
            autoencoder="toy_base_parts:Squares",
            text_encoder="toy_base_parts:Letters",
            chunk_frames=9,
            sizes=((16, 16), (64, 96)),
            strides=(4, 4),
            fps=24.0,
            steps=2,
            guidance=0.0,
            weights=[
                worldweave.Weights(
                    base="toy",
                    part="dit",
                    uri=str(Path(__file__).with_name("toy_base.safetensors")),
                    license="MIT",
                )
            ],
        )
    ]
