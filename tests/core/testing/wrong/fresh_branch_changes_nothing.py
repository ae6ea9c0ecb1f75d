"""Forgets to begin with zeros."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            branch="wrong_fresh_branch_changes_nothing_branch:Plain",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
