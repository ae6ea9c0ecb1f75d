"""Wrong: the name it gives its modality cannot be."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="Event Camera",
            summary="What an event camera sees",
            license="MIT",
            preprocessor="worldweave_raise:Events",
        )
    ]
