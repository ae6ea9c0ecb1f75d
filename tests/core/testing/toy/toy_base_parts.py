"""What surrounds the DiT of the toy base: real shapes, no training."""

import attrs
import torch

from worldweave.testing import SMALL

CONFIG = attrs.evolve(
    SMALL,
    latent_channels=3,
    hidden=24,
    blocks=2,
    text_channels=5,
    hint_channels=3,
    control_blocks=2,
    max_size=(3, 16, 24),
)


class Squares:
    """Averages 4 x 4 pixels and 4 frames."""

    time_stride = 4
    space_stride = 4

    def __init__(self, weights, *, device, dtype):
        pass

    def encode(self, video):
        small = torch.nn.functional.avg_pool3d(video, (1, 4, 4))
        rest = small[:, :, 1:].unflatten(2, (-1, 4)).mean(dim=3)
        return torch.cat([small[:, :, :1], rest], dim=2)

    encode_hint = encode

    def decode(self, latent):
        video = latent.repeat_interleave(4, 2)[:, :, 3:]
        return video.repeat_interleave(4, 3).repeat_interleave(4, 4)


class Letters:
    """One token: how often each vowel occurs."""

    def __init__(self, weights, *, device, dtype):
        pass

    def encode(self, prompts):
        counts = [[float(prompt.count(v)) for v in "aeiou"] for prompt in prompts]
        return torch.tensor(counts).unsqueeze(1)
