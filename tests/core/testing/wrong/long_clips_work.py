"""Has room for a chunk of the large base, and no more."""

from typing import ClassVar

import attrs

import worldweave


@attrs.frozen(kw_only=True)
class Negative:
    """The negative of the video."""

    per_frame: ClassVar[bool] = True

    def __call__(self, frames):
        import numpy as np

        control = np.zeros((121, *frames.shape[1:]), np.uint8)
        for at, frame in enumerate(frames):
            control[at] = 255 - frame
        return control[: len(frames)]


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="The negative",
            license="MIT",
            preprocessor="wrong_long_clips_work:Negative",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
