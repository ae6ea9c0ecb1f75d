"""Takes the mean of the hints away, which is that of all samples."""

import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="wrong",
            summary="Edges, whatever their mean",
            license="MIT",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
            branch="wrong_samples_do_not_mix_branch:Centred",
            recipe="worldweave_plugins.edge.recipe:RECIPE",
            metric="worldweave_plugins.edge.metric:EdgeF1",
        )
    ]
