"""Keeps a parameter of an earlier attempt that nothing uses."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            branch="wrong_gradients_reach_only_the_branch_branch:Gained",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
