"""Gives an error, and calls it a likeness."""

from typing import ClassVar

import attrs

import worldweave


@attrs.frozen(kw_only=True)
class Likeness:
    """How alike two videos are, up to 1."""

    higher_is_better: ClassVar[bool] = True
    best: ClassVar[float] = 1.0

    def __call__(self, video, reference):
        return abs(video.astype(float) - reference).mean() / 255


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="wrong_metric_is_best_on_itself:Likeness",
        )
    ]
