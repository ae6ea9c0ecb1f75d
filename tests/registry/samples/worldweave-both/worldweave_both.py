"""Sound, and published for two generations of the interface: ours is taken."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="both",
            summary="Contours, for any worldweave",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
        )
    ]
