"""What docs/plugins/5-training.md shows is taken as it stands."""

import re
from pathlib import Path

from worldweave.train.data.layout import read_layout
from worldweave_registry import Modality, Recipe

PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "5-training.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_recipes_and_descriptions_are_valid():
    made = []
    for block in blocks("python"):
        names = {}
        exec(block, names)
        made += [v for v in names.values() if isinstance(v, (Recipe, Modality))]
    assert [type(each) for each in made] == [Recipe, Recipe, Modality]


def test_the_folder_is_arranged_as_training_wants_it(tmp_path):
    tree = next(block for block in blocks("text") if "videos/" in block)
    root, *files = tree.split()
    for name in files:
        path = tmp_path / root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = read_layout(tmp_path / root, "thermal")
    assert [each.name for each in folder.samples] == [
        "drive-1",
        "drive-2",
        "night/drive-3",
    ]
    assert [each.control is not None for each in folder.samples] == [True, False, False]
    assert folder.orphans == ()
