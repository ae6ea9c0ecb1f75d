"""Halves and doubles, and an odd row or column gets lost."""

from typing import ClassVar

import attrs

import worldweave


@attrs.frozen(kw_only=True)
class Pixels:
    """The video in blocks of two by two pixels."""

    per_frame: ClassVar[bool] = True

    def __call__(self, frames):
        height, width = frames.shape[1] // 2, frames.shape[2] // 2
        blocks = frames[:, : 2 * height : 2, : 2 * width : 2]
        return blocks.repeat(2, axis=1).repeat(2, axis=2)


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Large pixels",
            license="MIT",
            preprocessor="wrong_odd_sizes_work:Pixels",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
