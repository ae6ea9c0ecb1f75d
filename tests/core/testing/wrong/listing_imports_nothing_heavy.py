"""Imports torch at the top, though only its branch needs it."""

import torch  # noqa: F401

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Surface normals",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
