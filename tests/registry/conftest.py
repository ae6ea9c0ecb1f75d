"""Throw-away distributions: installed for one test, forgotten after it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worldweave_registry import GROUP, Catalog, discover


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path, as site-packages is."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def install(site: Path) -> Iterator[Callable[..., None]]:
    """Install a plugin whose one module holds the given source.

    None for the source leaves the module out, so importing it fails.
    """
    before = set(sys.modules)

    def install_(
        distribution: str,
        source: str | None,
        *,
        plugin: str = "depth",
        version: str = "0.2.0",
        group: str = GROUP,
        folder: Path = site,
        value: str | None = None,
    ) -> None:
        module = f"{distribution}_{plugin}".replace("-", "_").lower()
        if source is not None:
            (folder / f"{module}.py").write_text(source)
        info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        with (info / "entry_points.txt").open("a") as entries:
            entries.write(f"[{group}]\n{plugin} = {value or module}\n")
        importlib.invalidate_caches()

    yield install_
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(site.parent):
            del sys.modules[name]


@pytest.fixture
def found() -> Callable[..., Catalog]:
    """Discover the named distributions alone, with more switches as keywords."""

    def found_(*distributions: str, **switches: str) -> Catalog:
        return discover({"WORLDWEAVE_PLUGINS": ",".join(distributions), **switches})

    return found_


@pytest.fixture
def supplying() -> Callable[..., str]:
    """Write the source of a plugin that supplies modalities and bases by name."""

    def source(*modalities: str, bases: tuple[str, ...] = (), about: str = "x") -> str:
        lines = ["import worldweave_registry as ww"]
        if modalities:
            lines += [
                "@ww.hookimpl",
                "def worldweave_modalities():",
                "    return [ww.Modality(name=name, license='MIT',",
                f"        summary={about!r}, preprocessor='a.b:C')",
                f"        for name in {modalities!r}]",
            ]
        if bases:
            lines += [
                "@ww.hookimpl",
                "def worldweave_bases():",
                "    return [ww.Base(name=name, license='MIT',",
                f"        summary={about!r}, config='a.b:C', autoencoder='a.b:C',",
                "        text_encoder='a.b:C', chunk_frames=9, sizes=[(64, 96)],",
                "        fps=24)",
                f"        for name in {bases!r}]",
            ]
        return "\n".join(lines) + "\n"

    return source


@pytest.fixture
def states(site: Path) -> Callable[[str, str], None]:
    """Let the metadata of an installed distribution state a licence."""

    def state(distribution: str, license: str) -> None:
        info = site / f"{distribution.replace('-', '_')}-0.2.0.dist-info" / "METADATA"
        info.write_text(f"{info.read_text()}License-Expression: {license}\n")

    return state
