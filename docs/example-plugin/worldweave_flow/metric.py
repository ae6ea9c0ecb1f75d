"""Score how well a video moves as its source does."""

import attrs
import numpy as np

from worldweave_flow.preprocess import motion


@attrs.frozen(kw_only=True)
class EndpointError:
    """Mean distance between the flow of a video and its reference's, in pixels."""

    higher_is_better = False
    best = 0.0

    def __call__(self, video, reference):
        return float(np.linalg.norm(motion(video) - motion(reference), axis=-1).mean())
