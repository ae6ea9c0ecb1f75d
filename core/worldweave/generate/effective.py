"""The maps of all chunks, as they were in effect, frame by frame."""

# T frames; t h w tokens

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from worldweave.request.chunks import Chunk
from worldweave.request.maps.tokens import TokenGrid
from worldweave.request.sources import MapArray


def per_frame(
    effective: Sequence[Mapping[str, Tensor]],
    chunks: Sequence[Chunk],
    grid: TokenGrid,
    frames: int,
) -> dict[str, MapArray]:
    """Return (T, h, w) by modality from the maps (t, h, w) of each chunk.

    A frame has the values of its latent frame. Frames that a chunk knows from the
    one before were made there, so that one counts.
    """
    held = np.repeat(
        np.arange(len(grid.frame_edges())),
        [end - begin for begin, end in grid.frame_edges()],
    )
    found = {}
    for name in effective[0]:
        pieces = [
            maps[name].numpy()[held][chunk.known :]
            for maps, chunk in zip(effective, chunks, strict=True)
        ]
        found[name] = np.concatenate(pieces)[:frames]
    return found
