"""Cut a video of any length into chunks a base can make."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Chunk:
    """Frames start..start + the base's chunk length; the first *known* are given.

    *known* frames come from the chunk before; the first chunk has none.
    """

    index: int
    start: int
    known: int


def cut(frames: int, length: int, overlap: int) -> list[Chunk]:
    """Return the chunks of *length* frames that cover *frames*.

    Each chunk after the first starts *overlap* frames before the end of the one
    before it. The last may reach past the video, which repeats its last frame.
    """
    stride = length - overlap
    count = 1 + max(0, -(-(frames - length) // stride))
    return [
        Chunk(index=i, start=i * stride, known=overlap if i else 0)
        for i in range(count)
    ]
