"""What ships with us does what is asked of third parties, check by check."""

from __future__ import annotations

from worldweave.testing import ModalityContract
from worldweave_registry import discover


class TestEdge(ModalityContract):
    modality_name = "edge@worldweave"


class OneOfMany(ModalityContract):
    """A modality with the branch of edge: how that lives in a pipeline is known.

    These two checks look at the branch alone, and take longer than all others.
    """

    test_disabling_leaves_nothing_behind = None
    test_enabling_later_is_the_same = None


class TestDepth(OneOfMany):
    modality_name = "depth@worldweave"


class TestHdmap(OneOfMany):
    modality_name = "hdmap@worldweave"


class TestLidar(OneOfMany):
    modality_name = "lidar@worldweave"


class TestSeg(OneOfMany):
    modality_name = "seg@worldweave"


class TestVis(OneOfMany):
    modality_name = "vis@worldweave"


def test_no_first_party_modality_is_missing_here():
    catalog = discover({"WORLDWEAVE_PLUGINS": "worldweave"})
    classes = [kind for name, kind in globals().items() if name.startswith("Test")]
    tested = {kind.modality_name: kind for kind in classes}
    assert tested.keys() == {f"{name}@worldweave" for name in catalog.modalities}
    branch = catalog.find("edge").branch
    for name, kind in tested.items():
        assert not issubclass(kind, OneOfMany) or catalog.find(name).branch == branch
