"""Choose the tiny base's latents, tokens and size at equal compute.

Every candidate trains for the same processor seconds on the same clips, then
generates the prompts of held-out clips. Its score is the sliced Wasserstein
distance between patches of its videos and of the true ones, on three levels of a
Laplacian pyramid (Karras et al. 2018, section 5; 0 is best), and how much finer
than the truth its finest level is ("speckle", 1 is best).

    python benchmarks/tinyworld_sweep.py --seconds 150 --out sweep.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldweave.base import HELD_OUT, Clip
from worldweave.diffusion.sampler import noise_levels, sample
from worldweave.io.sizes import to_frames, to_unit
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.train.clips import PROMPT_DROPOUT, drop
from worldweave.train.objective import Objective, predicted_clean
from worldweave.train.precision import autocast
from worldweave_plugins.tinyworld.autoencoder import HaarPCA
from worldweave_plugins.tinyworld.clips import clips
from worldweave_plugins.tinyworld.words import TinyTextEncoder

FPS = 24.0
STEPS = 16
EVALUATED = 32


@attrs.frozen(kw_only=True)
class Candidate:
    """One choice: latent channels, how far they are whitened, tokens, sizes."""

    channels: int = 32
    whitening: float = 0.5
    patch: tuple[int, int, int] = (1, 2, 2)
    hidden: int = 192
    blocks: int = 6
    batch: int = 12
    rate: float = 1.5e-3
    sigma_mean: float = 0.0

    def config(self) -> DiTConfig:
        """Return the DiT of this candidate."""
        return DiTConfig(
            latent_channels=self.channels,
            hidden=self.hidden,
            heads=self.hidden // 48 if self.hidden % 48 == 0 else self.hidden // 64,
            blocks=self.blocks,
            text_channels=128,
            adaln_rank=48,
            hint_channels=192,
            hint_widths=(self.hidden,),
            patch=self.patch,
            max_size=(3, 16, 24),
            rope_ratios=(1.0, 1.0, 1.0),
            time_scale=10.0,
        )


CANDIDATES = {
    "as shipped": Candidate(),
    "not whitened": Candidate(whitening=0.0),
    "fully whitened": Candidate(whitening=1.0),
    "16 channels": Candidate(channels=16),
    "16x16 tokens": Candidate(patch=(1, 4, 4)),
    "4x4 tokens": Candidate(patch=(1, 1, 1)),
    "width 256, 4 blocks": Candidate(hidden=256, blocks=4),
    "width 128, 8 blocks": Candidate(hidden=128, blocks=8),
}


def main() -> None:
    """Run the candidates named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CANDIDATES))
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("sweep.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    training = list(clips(options.seed, options.clips))
    held_out = list(clips(HELD_OUT + 100_000, EVALUATED))
    results = []
    for name in options.names:
        row = run(name, CANDIDATES[name], training, held_out, options)
        results.append(row)
        print(json.dumps(row), flush=True)
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def run(
    name: str,
    candidate: Candidate,
    training: list[Clip],
    held_out: list[Clip],
    options: argparse.Namespace,
) -> dict[str, object]:
    """Train one candidate and score what it generates."""
    autoencoder = fit(training[:200], candidate)
    latents = torch.cat([autoencoder.encode(to_unit(c.video)) for c in training])
    prompts = [clip.prompt for clip in training]
    dit, text_encoder, steps, loss = train(candidate, latents, prompts, options)
    made = generate(dit, text_encoder, autoencoder, held_out, candidate)
    true = np.stack([clip.video for clip in held_out])
    again = to_frames_all(
        autoencoder, torch.cat([autoencoder.encode(to_unit(c.video)) for c in held_out])
    )
    return {
        "name": name,
        **attrs.asdict(candidate),
        "parameters": sum(p.numel() for p in dit.parameters()),
        "steps": steps,
        "loss": loss,
        "distance": distance(made, true),
        "speckle": fineness(made) / fineness(true),
        "reconstruction_psnr": psnr(again, true),
    }


def fit(training: list[Clip], candidate: Candidate) -> HaarPCA:
    """Fit the basis, then set how far its channels are whitened."""
    model = HaarPCA.fit(
        (to_unit(clip.video) for clip in training), channels=candidate.channels
    )
    latent = torch.cat([model.encode(to_unit(clip.video)) for clip in training])
    plain = latent / model.scale.view(1, -1, 1, 1, 1)
    deviation = plain.std((0, 2, 3, 4))
    scale = deviation**-candidate.whitening
    scale *= 0.5 / (deviation * scale).square().mean().sqrt()
    model.scale.copy_(scale)
    return model


def train(
    candidate: Candidate,
    latents: Tensor,
    prompts: list[str],
    options: argparse.Namespace,
) -> tuple[DiT, TinyTextEncoder, int, float]:
    """Train for a budget of processor seconds; return the averaged model."""
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    dit, text_encoder = DiT(candidate.config()), TinyTextEncoder()
    dit.initialize(generator)
    both = nn.ModuleList([dit, text_encoder])
    parameters = list(both.parameters())
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=0.01)
    objective = Objective(sigma_mean=candidate.sigma_mean, sigma_std=1.4)
    start, steps, recent = time.process_time(), 0, 1.0
    while (share := (time.process_time() - start) / options.seconds) < 1.0:
        rise = min(1.0, (steps + 1) / 50)
        for group in optimizer.param_groups:
            group["lr"] = candidate.rate * rise * min(1.0, (1.0 - share) / 0.4)
        index = torch.randint(len(latents), (candidate.batch,), generator=generator)
        chosen = drop([prompts[i] for i in index], PROMPT_DROPOUT, generator)
        with autocast():
            text = text_encoder.encode(chosen)
            loss = objective.loss(dit, latents[index], text, FPS, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        decay = min(0.99, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for kept, parameter in zip(average, parameters, strict=True):
                kept.lerp_(parameter, 1 - decay)
        steps += 1
        recent += 0.02 * (loss.item() - recent)
    with torch.no_grad():
        for kept, parameter in zip(average, parameters, strict=True):
            parameter.copy_(kept)
    return dit.eval(), text_encoder.eval(), steps, recent


@torch.no_grad()
def generate(
    dit: DiT,
    text_encoder: TinyTextEncoder,
    autoencoder: HaarPCA,
    held_out: list[Clip],
    candidate: Candidate,
) -> np.ndarray:
    """Generate the prompts of the held-out clips, uint8 (N, T, H, W, 3)."""
    parts = []
    for number in range(0, len(held_out), 16):
        part = held_out[number : number + 16]
        shape = (len(part), candidate.channels, 3, 16, 24)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(number))
        latent = guided(dit, text_encoder, [clip.prompt for clip in part], noise)
        parts.append(to_frames_all(autoencoder, latent))
    return np.concatenate(parts)


def guided(
    dit: DiT, text_encoder: TinyTextEncoder, prompts: list[str], noise: Tensor
) -> Tensor:
    """Denoise with guidance 1: c + 1 (c - u)."""
    with autocast():
        texts = [text_encoder.encode(words) for words in (prompts, [""] * len(noise))]
    levels = noise_levels(STEPS)

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        with autocast():
            x0 = [predicted_clean(dit, x, float(sigma), t, FPS) for t in texts]
        return 2.0 * x0[0] - x0[1]

    return sample(predict, noise * levels[0].float(), levels)


def to_frames_all(autoencoder: HaarPCA, latents: Tensor) -> np.ndarray:
    """Decode latents to uint8 (N, T, H, W, 3)."""
    videos = autoencoder.decode(latents.float())
    return np.stack([to_frames(video[None]) for video in videos])


def pyramid(videos: np.ndarray, levels: int = 3) -> list[Tensor]:
    """Return the Laplacian pyramid of all frames, each (N, 3, h, w) in -1..1."""
    pixels = torch.from_numpy(videos[:, ::4]).flatten(0, 1).permute(0, 3, 1, 2)
    image = pixels.float() / 127.5 - 1
    bands = []
    for _ in range(levels - 1):
        small = F.avg_pool2d(image, 2)
        bands.append(image - F.interpolate(small, scale_factor=2, mode="bilinear"))
        image = small
    return [*bands, image]


def fineness(videos: np.ndarray) -> float:
    """Return the mean size of the finest level."""
    return float(pyramid(videos)[0].abs().mean())


def distance(made: np.ndarray, true: np.ndarray, patch: int = 7) -> float:
    """Return the sliced Wasserstein distance of patches, mean over the levels."""
    generator = torch.Generator().manual_seed(0)
    total = []
    for one, other in zip(pyramid(made), pyramid(true), strict=True):
        # One random set of places for both: what stands where is part of the score.
        rows = F.unfold(one, patch).transpose(1, 2).flatten(0, 1)
        true_rows = F.unfold(other, patch).transpose(1, 2).flatten(0, 1)
        index = torch.randperm(len(rows), generator=generator)[:20_000]
        directions = torch.randn(rows.shape[1], 128, generator=generator)
        directions /= directions.norm(dim=0)
        projected = (rows[index] @ directions).sort(0).values
        wanted = (true_rows[index] @ directions).sort(0).values
        total.append(float((projected - wanted).abs().mean()))
    return float(np.mean(total))


def psnr(made: np.ndarray, true: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in decibels."""
    error = (made.astype(float) - true.astype(float)) / 255
    return float(-10 * np.log10(np.mean(error**2)))


if __name__ == "__main__":
    main()
