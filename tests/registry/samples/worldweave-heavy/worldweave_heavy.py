"""Wrong: listing it takes more than a second."""

import time

import worldweave

time.sleep(1.1)  # as importing a large library takes, on any machine


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="normal",
            summary="Surface normals",
            license="Apache-2.0",
            preprocessor="worldweave_plugins.edge.preprocess:Canny",
        )
    ]
