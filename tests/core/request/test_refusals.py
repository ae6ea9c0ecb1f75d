"""What licences forbid of a request is found where only some of it is forbidden."""

import attrs
import pytest

from worldweave import Control, Modality, Problems, Request, Weights
from worldweave.forecast.models import NOT_TOLD, Task, list_models
from worldweave.maps import Learned
from worldweave.request.check import (
    Prepared,
    base_problems,
    examine,
    license_problems,
    weights_problems,
)
from worldweave.request.survey import survey
from worldweave_registry import Catalog, discover

OTHER = "LicenseRef-other"


@pytest.fixture(scope="module")
def installed():
    return discover()


def other(catalog: Catalog, *parts: str) -> Catalog:
    """Put *parts* of the tiny world under a licence that is not allowed."""

    def licensed(plugin):
        bases = [
            attrs.evolve(
                base,
                weights=[
                    attrs.evolve(w, license=OTHER) if w.part in parts else w
                    for w in base.weights
                ],
            )
            for base in plugin.bases
        ]
        return attrs.evolve(plugin, bases=tuple(bases))

    plugins = tuple(map(licensed, catalog.plugins))
    return attrs.evolve(catalog, plugins=plugins).allowing(["Apache-2.0"])


@pytest.mark.parametrize("part", ["dit", "autoencoder", "text_encoder"])
def test_each_part_of_a_base_is_looked_at(installed, part):
    catalog = other(installed, part)
    found = base_problems("tiny-world", catalog)
    assert len(found) == 1
    assert f"({part} for 'tiny-world'): licence {OTHER!r} is not among" in found[0]
    assert examine(Request(video="in.mp4"), catalog)[2] == found
    assert license_problems("tiny-world", [], catalog) == found


def test_learned_maps_are_looked_at_only_where_they_are_used(installed, clip):
    catalog = other(installed, "maps")
    assert base_problems("tiny-world", catalog) == []
    assert examine(Request(video="in.mp4"), catalog)[2] == []
    control = Control(map=Learned(learned="base"))
    request = Request(video=clip, controls={"edge": control})
    with pytest.raises(Problems) as caught:
        survey(request, catalog, lambda *_: [])
    (line,) = caught.value.problems
    assert f"(maps for 'tiny-world'): licence {OTHER!r} is not among" in line


def test_weights_of_another_base_do_not_matter(installed):
    weights = Weights(base="other", uri="file:a", license=OTHER)
    edge = installed.find("edge")
    plugins = [
        attrs.evolve(
            plugin,
            modalities=tuple(
                attrs.evolve(m, weights=(*m.weights, weights)) if m == edge else m
                for m in plugin.modalities
            ),
        )
        for plugin in installed.plugins
    ]
    catalog = attrs.evolve(installed, plugins=tuple(plugins)).allowing(["Apache-2.0"])
    assert weights in catalog.find("edge").weights
    assert license_problems("tiny-world", ["edge"], catalog) == []


def test_weights_that_are_missing_are_told_rather_than_their_licence(installed):
    modality = Modality(name="fog", summary="x", license="MIT", preprocessor=None)
    prepared = Prepared(
        modality=modality, control=Control(), preprocessor=None, refused=("no",)
    )
    base = installed.find_base("tiny-world")
    assert "has no weights" in weights_problems("fog", prepared, base)[0]
    own = attrs.evolve(prepared, control=Control(weights=__file__))
    assert weights_problems("fog", own, base) == []


def test_a_plugin_that_is_left_out_keeps_no_models_secret(tmp_path, monkeypatch):
    info = tmp_path / "blurred_seer-1.dist-info"
    info.mkdir()
    (tmp_path / "blurred_seer.py").write_text(
        "import worldweave\n@worldweave.hookimpl\n"
        "def worldweave_map(prompt, video):\n    return None\n"
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-seer\nVersion: 1")
    (info / "entry_points.txt").write_text("[worldweave.v1]\nseer = blurred_seer\n")
    monkeypatch.syspath_prepend(tmp_path)
    catalog = discover({"WORLDWEAVE_PLUGINS": "acme-seer"})
    task = Task(name="map", what="maps", hook="worldweave_map", otherwise="none")
    (entry,) = list_models([task], catalog)
    assert (entry.uri, entry.is_present) == (NOT_TOLD, None)
    (entry,) = list_models([task], catalog.allowing(["MIT"]))
    assert (entry.uri, entry.is_present, entry.problem) == ("", False, "none")
