"""Darkens the video that it was given, which saves a copy."""

from typing import ClassVar

import attrs

import worldweave


@attrs.frozen(kw_only=True)
class Dim:
    """The video at half its light."""

    per_frame: ClassVar[bool] = True

    def __call__(self, frames):
        frames //= 2
        return frames


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="The dark video",
            license="MIT",
            preprocessor="wrong_preprocessor_leaves_its_input_alone:Dim",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
