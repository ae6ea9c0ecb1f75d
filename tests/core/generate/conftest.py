"""The tiny world, asked briefly."""

import pytest

FAST = {"steps": 2, "guidance": 0.0}
OFF = {"edge": 0.0, "vis": 0.0}


@pytest.fixture(scope="session")
def generate():
    """Generate with a pipeline: every modality off, few steps, unless told."""

    def generate_(pipeline, source, **fields):
        settings = {**FAST, "maps": OFF, **fields}
        return pipeline.generate("a street by day", video=source, **settings)

    return generate_


@pytest.fixture(scope="session")
def plain(generate, pipeline, clip):
    """What the prompt alone makes of the clip's length."""
    return generate(pipeline, clip)
