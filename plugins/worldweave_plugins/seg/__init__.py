"""The seg modality: what belongs to which thing."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities() -> list[worldweave.Modality]:
    return [
        worldweave.Modality(
            name="seg",
            summary="A label video you give: one flat colour for each thing",
            license="Apache-2.0",
            preprocessor=None,
        )
    ]
