"""The tiny base and the modalities that are shipped for it."""

from __future__ import annotations

import pytest

from worldweave_registry import Base, Catalog, Modality, discover


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return discover()


@pytest.fixture(scope="session")
def tiny(catalog: Catalog) -> Base:
    return catalog.find_base("tiny-world")


@pytest.fixture(scope="session")
def shipped(catalog: Catalog) -> dict[str, Modality]:
    names = ("depth", "edge", "hdmap", "lidar", "seg", "vis")
    return {name: catalog.find(name) for name in names}
