"""What the loss does not tell: x0 errors with right, no and wrong hint; gates."""

# K watched clip, C channel, T H W latent positions

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
import torch
from torch import Tensor, nn

from worldweave.train.objective import Predict, predicted_clean
from worldweave.train.precision import autocast

#: From detail to layout. The loss is ruled by the small ones, where no hint matters.
SIGMAS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 8.0, 30.0)
#: From here on a control has something to say.
GUIDED = 0.8
NOISE_SEED = 0


@attrs.frozen(kw_only=True, eq=False)
class X0Error:
    """Squared error of the predicted clean latent, by noise level.

    It is divided by the variance of the latents: 1 is as bad as guessing the
    mean. Always the same clips and the same noise, so that two values differ by
    the weights alone. *predictions* names the ways to predict; "right", "none" and
    "wrong" (hint) also give the control gain: by what share the hint lowers the
    error, averaged over the noise levels from 0.8 on.
    """

    clean: Tensor
    """(K, C, T, H, W)"""
    text: Callable[[], Tensor]
    """Returns (K, L, channels); called anew each time, it may be trained too."""
    fps: float
    predictions: Mapping[str, Predict]

    def __call__(self) -> dict[str, float]:
        """Return x0_NAME_SIGMA of every prediction, control_gain, wrong_hint_gain."""
        noise = torch.randn(
            self.clean.shape, generator=torch.Generator().manual_seed(NOISE_SEED)
        ).to(self.clean.device)
        variance = self.clean.var()
        errors: dict[str, list[float]] = {}
        with autocast(self.clean.device):
            text = self.text()
            for name, predict in self.predictions.items():
                errors[name] = [
                    self._error(predict, noise, sigma, text) / float(variance)
                    for sigma in SIGMAS
                ]
        values = {
            f"x0_{name}_{sigma:g}": error
            for name, row in errors.items()
            for sigma, error in zip(SIGMAS, row, strict=True)
        }
        if {"right", "none", "wrong"} <= errors.keys():
            values["control_gain"] = gain(errors["right"], errors["none"])
            values["wrong_hint_gain"] = gain(errors["wrong"], errors["none"])
        return values

    def _error(
        self, predict: Predict, noise: Tensor, sigma: float, text: Tensor
    ) -> float:
        noisy = self.clean + sigma * noise
        x0 = predicted_clean(predict, noisy, sigma, text, self.fps)
        return float((x0 - self.clean).square().mean())


def gain(errors: Sequence[float], without: Sequence[float]) -> float:
    """Return by what share *errors* are below those *without*, at sigma >= 0.8."""
    shares = [
        (none - some) / none
        for sigma, some, none in zip(SIGMAS, errors, without, strict=True)
        if sigma >= GUIDED
    ]
    return sum(shares) / len(shares)


@attrs.frozen(kw_only=True, eq=False)
class GateNorms:
    """How far each gate has opened: the norm of weights that start at zero.

    In a branch these are the projections of its residuals and the end of the hint
    network, in a base the modulations of each block and the head.
    """

    module: nn.Module
    gates: Mapping[str, Sequence[str]]
    """Names of parameters. Loading weights may put others in their place."""

    @classmethod
    def of(cls, fresh: nn.Module) -> GateNorms:
        """Find the gates of a module nobody has trained: its matrices of zeros."""
        gates: dict[str, list[str]] = {}
        for name, parameter in fresh.named_parameters():
            if parameter.requires_grad and parameter.ndim > 1 and not parameter.any():
                gates.setdefault(_place(name), []).append(name)
        return cls(module=fresh, gates=gates)

    def __call__(self) -> dict[str, float]:
        """Return gate_PLACE: the root of the sum of squares of its weights."""
        return {
            f"gate_{place}": _norm(map(self.module.get_parameter, names))
            for place, names in self.gates.items()
        }


def _place(name: str) -> str:
    """Shorten a parameter's name to its block: blocks.3.modulation.0.up.weight."""
    return ".".join(name.split(".")[:2])


def _norm(parameters: Iterable[Tensor]) -> float:
    squares = [float(p.detach().square().sum()) for p in parameters]
    return math.sqrt(sum(squares))
