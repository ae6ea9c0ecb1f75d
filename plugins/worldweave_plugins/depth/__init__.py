"""The depth modality: how far away everything is."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities() -> list[worldweave.Modality]:
    return [
        worldweave.Modality(
            name="depth",
            summary="A depth video you give: gray, the nearer the brighter",
            license="Apache-2.0",
            preprocessor=None,
        )
    ]
