"""Stretches the contrast of the whole video, and says it works frame by frame."""

from typing import ClassVar

import attrs

import worldweave


@attrs.frozen(kw_only=True)
class Contrast:
    """The video from black to white."""

    per_frame: ClassVar[bool] = True

    def __call__(self, frames):
        low, high = int(frames.min()), int(frames.max())
        return ((frames - low) * (255 / max(high - low, 1))).astype("uint8")


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="All contrast",
            license="MIT",
            preprocessor="wrong_per_frame_claim_holds:Contrast",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
