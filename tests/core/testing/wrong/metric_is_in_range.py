"""Correlates videos, which has no value where one of them is black."""

from typing import ClassVar

import attrs

import worldweave


@attrs.frozen(kw_only=True)
class Correlation:
    """How the two videos go together, up to 1."""

    higher_is_better: ClassVar[bool] = True
    best: ClassVar[float] = 1.0

    def __call__(self, video, reference):
        one, other = video - video.mean(), reference - reference.mean()
        return (one * other).mean() / (one.std() * other.std())


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="wrong_metric_is_in_range:Correlation",
        )
    ]
