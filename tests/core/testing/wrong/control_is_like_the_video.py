"""Mixes up height and width, which nobody notices in a square."""

from typing import ClassVar

import attrs

import worldweave


@attrs.frozen(kw_only=True)
class Coarse:
    """The video at a quarter of its size, and back."""

    per_frame: ClassVar[bool] = True

    def __call__(self, frames):
        import cv2
        import numpy as np

        height, width = frames.shape[1:3]
        small = [cv2.resize(frame, (width // 4, height // 4)) for frame in frames]
        return np.stack([cv2.resize(frame, (height, width)) for frame in small])


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="The coarse video",
            license="MIT",
            preprocessor="wrong_control_is_like_the_video:Coarse",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
