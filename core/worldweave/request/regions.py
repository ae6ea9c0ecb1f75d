"""The parts of the picture that the maps of a request speak of."""

# T H W video frames, rows, columns; h w tokens

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worldweave.request.check import Prepared
from worldweave.request.labels.rules import regions_of
from worldweave.request.labels.video import LabelVideo
from worldweave.request.maps.sight import Sight
from worldweave.request.maps.tokens import TokenGrid, shrunk
from worldweave.request.sources import MapArray, Rule, Salient
from worldweave.request.walk import maps_in

#: What other tables call the whole picture: no region may be called so.
WHOLE = "everywhere"


def regions(
    prepared: Mapping[str, Prepared],
    labels: LabelVideo | None,
    sight: Sight,
    grid: TokenGrid,
    *,
    may_look: bool,
) -> dict[str, MapArray]:
    """Return the share of each token that a region takes, (T or 1, h, w), by name.

    "foreground" and "background", where they are known without a model or *may_look*,
    and what each clause of a rule is about. Two that have one name and are not the same
    are told apart by their modality.
    """
    found: dict[str, MapArray] = {}
    pairs = [(n, s) for n, p in prepared.items() for s in maps_in(p.map)]
    is_salient = any(isinstance(source, Salient) for _, source in pairs)
    if is_salient and (may_look or not sight.needs_model):
        inside = _on_tokens(sight.foreground(), grid)
        found |= {"foreground": inside, "background": 1 - inside}
    for modality, source in pairs:
        if isinstance(source, Rule) and labels is not None:
            for name, mask in _of_rule(source, labels).items():
                _add(found, name, _on_tokens(mask, grid), modality)
    return found


def _of_rule(source: Rule, labels: LabelVideo) -> dict[str, np.ndarray]:
    parts = regions_of(source.rule, labels)
    named = ", ".join(name for name in parts if name != "else")
    return {
        f"not {named}" if name == "else" else name: mask for name, mask in parts.items()
    }


def _on_tokens(mask: np.ndarray, grid: TokenGrid) -> MapArray:
    """Average a mask frame by frame: no copy of all of it in float32."""
    pieces = [
        shrunk(frame[None].astype(np.float32), grid.rows, grid.columns)
        for frame in mask
    ]
    return np.concatenate(pieces)


def _add(
    found: dict[str, MapArray], name: str, region: MapArray, modality: str
) -> None:
    taken = found.get(name)
    if name == WHOLE or (taken is not None and not np.array_equal(taken, region)):
        name = f"{name} ({modality})"
    found[name] = region
