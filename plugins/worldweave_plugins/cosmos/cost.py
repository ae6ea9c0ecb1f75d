"""What the official autoencoder and T5-11B cost, by formulas counted once.

Their libraries take many seconds to import, too long for a forecast. A test builds
the released autoencoder without weights and holds the formulas to it.
"""

from __future__ import annotations

from typing import Final

from worldweave.forecast.cost import Parts
from worldweave_plugins.cosmos.text import LENGTH

STRIDE: Final = 8
#: Operations per latent position: of the first latent frame, of each later one.
ENCODE: Final = (104_698_073, 131_127_730)
DECODE: Final = (177_080_832, 247_583_232)
#: The attentions of the middle: 512 channels, 2 products of 2 operations each.
ATTENTION: Final = 4 * 512
#: Bytes alive at the peak in float32, per latent position in the same way.
ENCODE_BYTES: Final = (47_104, 45_056)
DECODE_BYTES: Final = (57_408, 73_000)
AUTOENCODER: Final = 105_653_696

LAYERS: Final = 24
WIDTH: Final = 1024
INNER: Final = 128 * 128
FEED: Final = 65_536
WORDS: Final = 32_128
BUCKETS: Final = 32 * 128
#: Queries, keys, values and their way out; two projections around a ReLU.
LAYER: Final = 4 * WIDTH * INNER + 2 * WIDTH * FEED
T5: Final = WORDS * WIDTH + LAYERS * (LAYER + 2 * WIDTH) + WIDTH + BUCKETS


def cost(frames: int, height: int, width: int) -> Parts:
    """Tell what a chunk of *frames*, 1 + 8 k, of height x width pixels costs."""
    positions = (height // STRIDE) * (width // STRIDE)
    times = 1 + (frames - 1) // STRIDE
    # Every position looks at those of its frame, then at its own over time.
    attention = ATTENTION * positions * times * (positions + times)
    return Parts(
        encode_flops=_over(ENCODE, positions, times) + attention,
        decode_flops=_over(DECODE, positions, times) + attention,
        text_flops=text_flops(LAYERS, LAYER, INNER),
        encode_bytes=_over(ENCODE_BYTES, positions, times),
        decode_bytes=_over(DECODE_BYTES, positions, times),
        # One projection before and after its ReLU, and the scores of every head.
        text_bytes=4 * LENGTH * (2 * FEED + 3 * INNER // 128 * LENGTH),
        text_tokens=LENGTH,
        autoencoder_parameters=AUTOENCODER,
        text_parameters=T5,
        shares_rows=True,
    )


def text_flops(layers: int, layer: int, inner: int) -> int:
    """Return the operations of one prompt through a T5 encoder.

    layer: values in the projections of a layer; inner: channels of all heads.
    """
    return layers * (2 * LENGTH * layer + 4 * LENGTH * LENGTH * inner)


def _over(each: tuple[int, int], positions: int, times: int) -> int:
    first, later = each
    return positions * (first + later * (times - 1))
