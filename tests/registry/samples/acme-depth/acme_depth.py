"""Sound, but the name it chose is taken: nobody wins silently."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="depth",
            summary="Metric depth",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
        )
    ]
