"""Counts on as many hint channels as there may be."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges, their channels mixed first",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            branch="wrong_narrow_hints_will_do_branch:Mixed",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
