"""The flow modality. Imported just to list it, so nothing heavy here."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="flow",
            summary="Optical flow: what moves where, and nothing of how it looks",
            license="Apache-2.0",
            preprocessor="worldweave_flow.preprocess:Flow",
            recipe="worldweave_flow.recipe:RECIPE",
            metric="worldweave_flow.metric:EndpointError",
            metadata={"paper": "Farneback, SCIA 2003"},
        )
    ]
