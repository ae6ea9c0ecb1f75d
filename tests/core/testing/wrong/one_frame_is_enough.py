"""Takes the first frame's motion from the second, which a picture has not."""

import itertools

import attrs

import worldweave


@attrs.frozen(kw_only=True)
class Motion:
    """How much each frame differs from the one before."""

    def __call__(self, frames):
        import cv2
        import numpy as np

        moved = [
            cv2.absdiff(*map(np.ascontiguousarray, pair))
            for pair in itertools.pairwise(frames)
        ]
        return np.stack([moved[0], *moved])


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="What moves",
            license="MIT",
            preprocessor="wrong_one_frame_is_enough:Motion",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
