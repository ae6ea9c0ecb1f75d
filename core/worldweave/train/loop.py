"""The training loop: steps, schedule, average of weights, exact resume."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import torch
from torch import Tensor, nn

from worldweave.checkpoints import store
from worldweave_registry import Recipe, WeightsError, WorldweaveError

#: Returns the loss of one step; all its randomness comes from the generator.
Loss = Callable[[torch.Generator], Tensor]

STATE = "state.safetensors"
PREVIOUS = "state.previous.safetensors"
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
MAX_GRADIENT = 1.0
COOLDOWN = 0.4


@attrs.frozen(kw_only=True)
class Progress:
    """What the loop reports after a step."""

    step: int
    steps: int
    loss: float
    gradient: float
    rate: float


class Trainer:
    """Minimise *loss* over the trainable parameters of *model*.

    The state in *folder* after a step is all there is: starting again from it
    gives the same weights as never having stopped, on the same machine, because
    every step draws from a generator seeded by (seed, step).
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        recipe: Recipe,
        folder: Path,
        seed: int,
        *,
        what: str = "a model",
    ) -> None:
        self.model = model
        self.loss = loss
        self.recipe = recipe
        self.folder = folder
        self.seed = seed
        self.what = what
        self.step = 0
        self.named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        matrices = [p for p in self.named.values() if p.ndim > 1]
        vectors = [p for p in self.named.values() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": WEIGHT_DECAY},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=BETAS,
        )
        self.average = {n: p.detach().clone() for n, p in self.named.items()}

    def run(
        self,
        report: Callable[[Progress], None],
        *,
        save_every: int = 250,
        until: int | None = None,
    ) -> None:
        """Train up to step *until* (default: the recipe's steps), saving as it goes."""
        self.model.train()
        last = self.recipe.steps if until is None else min(until, self.recipe.steps)
        while self.step < last:
            report(self._one())
            if self.step % save_every == 0 or self.step == last:
                self.save()

    def _one(self) -> Progress:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, self.recipe)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(generator)
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = nn.utils.clip_grad_norm_(self.named.values(), MAX_GRADIENT)
        # A gradient may overflow where the loss does not; clipped, it is NaN.
        if not (torch.isfinite(loss) and torch.isfinite(gradient)):
            raise WorldweaveError(
                f"training diverged at step {self.step}: loss {loss.item():g}, "
                f"gradient {float(gradient):g}; train in another folder with a "
                f"learning rate below {self.recipe.learning_rate:g}"
            )
        self.optimizer.step()
        # A short memory at first, a thousand steps in the end.
        decay = min(0.999, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self.named.items():
                self.average[name].lerp_(parameter, 1 - decay)
        self.step += 1
        return Progress(
            step=self.step,
            steps=self.recipe.steps,
            loss=loss.item(),
            gradient=float(gradient),
            rate=rate(self.step - 1, self.recipe),
        )

    def load_average(self) -> None:
        """Put the averaged weights into the model: the result of the training."""
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(self.average[name])

    def save(self) -> None:
        """Write the state; the one before is kept until this one is complete."""
        state: dict[str, Tensor] = {}
        for name, parameter in self.named.items():
            state[f"model.{name}"] = parameter.detach()
            state[f"average.{name}"] = self.average[name]
            for key, value in self.optimizer.state[parameter].items():
                state[f"optimizer.{name}.{key}"] = value
        self.folder.mkdir(parents=True, exist_ok=True)
        current = self.folder / STATE
        if current.exists():
            os.replace(current, self.folder / PREVIOUS)
        store.write(current, state, self._identity() | {"step": str(self.step)})

    def resume(self) -> str | None:
        """Continue from the state in the folder, if any; return what was done.

        A damaged state is passed over in favour of the previous one, and the
        answer says so. Raise WeightsError where the state belongs to another
        training, or where both are damaged.
        """
        damaged = ""
        for name in (STATE, PREVIOUS):
            path = self.folder / name
            if not path.exists():
                continue
            try:
                self._restore(path)
            except (OSError, WeightsError) as error:
                if isinstance(error, MismatchError):
                    raise
                damaged = f"{path} is damaged; "
                continue
            if damaged:
                # Or the next save would put the damaged state in its place.
                os.replace(path, self.folder / STATE)
            return f"{damaged}continued from step {self.step} in {self.folder}"
        if damaged:
            raise WeightsError(
                f"{damaged}there is no other state in {self.folder}; "
                "start again in an empty folder"
            )
        return None

    def _identity(self) -> dict[str, str]:
        recipe = attrs.asdict(self.recipe)
        plain = {key: str(value) for key, value in sorted(recipe.items())}
        recipe_text = json.dumps(plain)
        return {"subject": self.what, "recipe": recipe_text, "seed": str(self.seed)}

    def _restore(self, path: Path) -> None:
        saved = store.read(path)
        metadata = saved.header.metadata
        names = set(saved)
        self._refuse_another(path, metadata, names)
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(saved[f"model.{name}"])
                self.average[name].copy_(saved[f"average.{name}"])
                # A parameter that never had a gradient has none of these.
                moments = {
                    key: saved[f"optimizer.{name}.{key}"]
                    for key in ("step", "exp_avg", "exp_avg_sq")
                    if f"optimizer.{name}.{key}" in names
                }
                if moments:
                    self.optimizer.state[parameter] = moments
        self.step = int(metadata["step"])

    def _refuse_another(
        self, path: Path, metadata: Mapping[str, str], keys: set[str]
    ) -> None:
        for key, value in self._identity().items():
            if metadata.get(key) != value:
                raise MismatchError(
                    f"{path} belongs to another training: its {key} is "
                    f"{metadata.get(key)}, here it is {value}; use another --out folder"
                )
        parts = [f"{part}.{n}" for n in self.named for part in ("model", "average")]
        missing = [name for name in parts if name not in keys]
        if missing:
            raise MismatchError(
                f"{path} belongs to another model: it lacks {missing[0]!r}; "
                "use another --out folder"
            )


class MismatchError(WeightsError):
    """A saved state is fine but belongs to another training."""


def rate(step: int, recipe: Recipe) -> float:
    """Return the learning rate of *step*: warm-up, plateau, linear to nought."""
    rising = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    left = (recipe.steps - step) / recipe.steps
    return recipe.learning_rate * rising * min(1.0, left / COOLDOWN)
