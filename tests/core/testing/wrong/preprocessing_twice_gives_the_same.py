"""Keeps the background of one video for the next."""

import attrs

import worldweave

_background = []


@attrs.frozen(kw_only=True)
class Foreground:
    """What moves before a background that is learned while the video runs."""

    def __call__(self, frames):
        if not _background or _background[0].shape != frames[0].shape:
            _background[:] = [frames[0].astype(float)]
        control = frames.copy()
        for frame, target in zip(frames, control, strict=True):
            _background[0] = 0.9 * _background[0] + 0.1 * frame
            target[...] = abs(frame - _background[0])
        return control


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="What moves",
            license="MIT",
            preprocessor="wrong_preprocessing_twice_gives_the_same:Foreground",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
