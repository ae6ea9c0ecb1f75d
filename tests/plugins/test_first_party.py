"""What every plugin that ships with us must be: found, whole, checked."""

import pytest

from worldweave_registry import State, discover, resolve

CATALOG = discover({"WORLDWEAVE_PLUGINS": "worldweave"})
DESCRIPTIONS = [*CATALOG.modalities.values(), *CATALOG.bases.values()]
SHIPPED = [
    weights
    for description in DESCRIPTIONS
    for weights in description.weights
    if weights.uri.startswith("package:")
]


def test_every_first_party_plugin_is_ready():
    names = ("cosmos", "depth", "edge", "grounding", "hdmap", "lidar")
    names += ("seg", "tinyworld", "vis")
    assert {plugin.name: plugin.state for plugin in CATALOG.plugins} == dict.fromkeys(
        names, State.READY
    )


@pytest.mark.parametrize("weights", SHIPPED, ids=lambda w: w.uri)
def test_shipped_weights_are_there_and_carry_a_checksum(weights):
    assert weights.sha256 is not None
    assert resolve(weights).stat().st_size < 16_000_000


def test_all_shipped_weights_together_are_at_most_48_megabytes():
    assert sum(resolve(w).stat().st_size for w in SHIPPED) <= 48_000_000


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda d: d.name)
def test_every_lazy_part_can_be_imported(description):
    fields = ("preprocessor", "branch", "recipe", "metric", "config", "autoencoder")
    more = ("text_encoder", "clips", "check_prompt", "metrics", "foreground")
    parts = [getattr(description, field, None) for field in (*fields, *more)]
    for part in (*parts, *getattr(description, "trainings", {}).values()):
        if part is not None:
            assert part.load() is not None
