"""Deliberately wrong plugins, installed for these tests alone."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worldweave.testing.subject import Subject
from worldweave_registry import GROUP, discover

WRONG = Path(__file__).parent / "wrong"


@pytest.fixture(scope="session")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Subject]]:
    """Return the subject of the plugin that does wrong what a check looks for."""
    site = tmp_path_factory.mktemp("site")
    for file in WRONG.glob("*.py"):
        module = f"wrong_{file.stem}"
        shutil.copy(file, site / f"{module}.py")
        info = site / f"{module}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1\n"
        )
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{file.stem} = {module}\n")
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()

    def find(check: str) -> Subject:
        named = f"worldweave,wrong_{check}"
        catalog = discover({"WORLDWEAVE_PLUGINS": named})
        return Subject.find("wrong", catalog=catalog)

    yield find
    sys.path.remove(str(site))
