"""Deliberately wrong plugins, installed for these tests alone."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worldweave.testing.subject import Subject
from worldweave_registry import GROUP, Modality, Plugin, State, discover

WRONG = Path(__file__).parent / "wrong"
TOY = Path(__file__).parent / "toy"
# What the modules of tests share; no plugin is installed there.
sys.path.append(str(TOY))


# For a module, not the session: nobody else should find these plugins installed.
@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the toy base and every wrong plugin in a folder of their own."""
    from worldweave.checkpoints import store
    from worldweave.testing.subject import frozen_dit

    site = tmp_path_factory.mktemp("site")
    for file in WRONG.glob("*.py"):
        _install(site, file, f"wrong_{file.stem}")
    # A branch imports torch, so it lies in a module of its own.
    for file in (WRONG / "branches").glob("*.py"):
        shutil.copy(file, site / f"wrong_{file.stem}_branch.py")
    _install(site, TOY / "toy_base.py", "toy_base")
    shutil.copy(TOY / "toy_base_parts.py", site)
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    config = importlib.import_module("toy_base_parts").CONFIG
    store.write(site / "toy_base.safetensors", frozen_dit(config).state_dict())
    yield site
    sys.path.remove(str(site))


def _install(site: Path, file: Path, module: str) -> None:
    shutil.copy(file, site / f"{module}.py")
    info = site / f"{module}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1\n"
    )
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{file.stem} = {module}\n")


@pytest.fixture(scope="module")
def wrong(site: Path) -> Callable[..., Subject]:
    """Return the subject of the plugin that does wrong what a check looks for."""

    def find(check: str) -> Subject:
        named = f"worldweave,toy_base,wrong_{check}"
        catalog = discover({"WORLDWEAVE_PLUGINS": named})
        return Subject.find("wrong", base="toy", catalog=catalog)

    return find


@pytest.fixture(scope="session")
def subject_of() -> Callable[..., Subject]:
    """Return what makes a subject of a modality with the given fields."""
    catalog = discover({"WORLDWEAVE_PLUGINS": "worldweave"})
    plugin = Plugin(name="p", distribution="acme", version="1", state=State.READY)

    def make(**fields: object) -> Subject:
        told = {"name": "it", "summary": "Something", "license": "MIT"}
        modality = Modality(**{"preprocessor": None, **told, **fields})
        return Subject(modality=modality, plugin=plugin, catalog=catalog)

    return make
