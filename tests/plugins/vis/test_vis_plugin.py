"""The vis plugin says what it has, without loading it."""

import subprocess
import sys

from worldweave_plugins import vis
from worldweave_registry import Modality, Recipe


def described() -> Modality:
    (modality,) = vis.worldweave_modalities()
    return modality


def test_it_is_named_as_its_folder() -> None:
    assert described().name == "vis"
    assert described().license == "Apache-2.0"


def test_what_it_names_can_be_loaded() -> None:
    modality = described()
    assert modality.preprocessor is not None
    assert modality.metric is not None
    assert modality.recipe is not None
    assert modality.preprocessor.load()().per_frame
    assert modality.metric.load()().higher_is_better
    assert isinstance(modality.recipe.load(), Recipe)


def test_listing_it_loads_nothing_heavy() -> None:
    listing = (
        "import sys, worldweave_plugins.vis as plugin;"
        "plugin.worldweave_modalities();"
        "sys.exit(' '.join({'torch', 'numpy', 'cv2', 'av'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", listing],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == ""
