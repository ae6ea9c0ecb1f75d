"""Writes its own __init__, so that nobody can see or check its option."""

import worldweave


class Posterize:
    """The video in few colours."""

    per_frame = True

    def __init__(self, levels=4):
        if not isinstance(levels, int) or not 2 <= levels <= 256:
            raise ValueError(f"levels is {levels!r}; give 2 to 256")
        self.levels = levels

    def __call__(self, frames):
        step = 256 // self.levels
        return frames // step * step


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Few colours",
            license="MIT",
            preprocessor="wrong_options_are_declared:Posterize",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
