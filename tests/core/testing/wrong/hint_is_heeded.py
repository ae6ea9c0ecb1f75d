"""Lost the hint when its branch was tidied up."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            branch="wrong_hint_is_heeded_branch:Deaf",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
