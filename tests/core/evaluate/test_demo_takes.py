"""What is generated: nothing, each control, all, and two that share the picture."""

from pathlib import Path

import attrs
import numpy as np
import pytest

from worldweave.base import Clip
from worldweave.evaluate.demo.subjects import from_clip
from worldweave.evaluate.demo.takes import choose_leads, save_maps, takes_of
from worldweave_registry import discover


@pytest.fixture
def subject(clip):
    catalog = discover()
    base = attrs.evolve(catalog.find_base("tiny-world"), foreground=None)
    modalities = [catalog.find(name) for name in ("edge", "vis")]
    mine = Clip(video=clip, prompt="")
    return from_clip("it", mine, "", base, modalities, Path("nowhere"))


def test_each_control_then_all_then_two_that_share(subject):
    takes = takes_of(subject, ("edge", "vis"))
    assert {take.name: dict(take.maps) for take in takes} == {
        "prompt-only": {},
        "edge": {"edge": 1.0},
        "vis": {"vis": 1.0},
        "all": {"edge": 1.0, "vis": 1.0},
        "edge-within-vis": {"edge": "foreground", "vis": "background"},
        "vis-within-edge": {"vis": "foreground", "edge": "background"},
    }


def test_one_control_has_nothing_to_share_with(subject):
    alone = attrs.evolve(subject, controls={"edge": subject.controls["edge"]})
    names = [take.name for take in takes_of(alone, None)]
    assert names == ["prompt-only", "edge"]


def test_the_two_maps_add_up_to_one(subject, tmp_path):
    files = save_maps(subject, tmp_path)
    foreground, background = (np.load(files[n]) for n in ("foreground", "background"))
    assert foreground.dtype == background.dtype == np.float32
    np.testing.assert_array_equal(foreground, subject.foreground)
    np.testing.assert_allclose(foreground + background, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("wanted", "shown", "leads"),
    [
        ("edge vis", "depth edge seg vis", ("edge", "vis")),
        ("vis edge", "depth edge seg vis", ("vis", "edge")),
        ("", "hint edge vis", ("edge", "vis")),
        ("vis", "hint edge vis", ("vis", "edge")),
        ("edge vis", "hint vis", ("vis", "hint")),
        ("edge vis", "edge", None),
        ("", "", None),
    ],
)
def test_the_wanted_lead_then_those_with_a_metric(wanted, shown, leads):
    known = discover().modalities
    scored = {name: known[name] for name in ("edge", "vis")}
    plain = attrs.evolve(known["edge"], metric=None)
    modalities = {"hint": plain, "depth": plain, "seg": plain, **scored}
    assert choose_leads(wanted.split(), modalities, shown.split()) == leads
