"""Brings any number into its range, without a word."""

from typing import ClassVar

import attrs

import worldweave


def _clamped(value):
    return min(max(float(value), 0.0), 1.0)


@attrs.frozen(kw_only=True)
class Dim:
    """The darkened video; strength: 0 leaves it as it is, 1 makes it black."""

    per_frame: ClassVar[bool] = True
    strength: float = attrs.field(default=0.5, converter=_clamped)

    def __call__(self, frames):
        return (frames * (1 - self.strength)).astype("uint8")


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="The dark video",
            license="MIT",
            preprocessor="wrong_options_refuse_nonsense:Dim",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
