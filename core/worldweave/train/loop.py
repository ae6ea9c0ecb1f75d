"""The training loop: steps, schedule, average of weights, exact resume."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
import torch
from torch import Tensor, nn

from worldweave.train.parallel import ALONE, Processes
from worldweave.train.progress import Progress
from worldweave.train.states import KEPT, State, States
from worldweave.train.stopping import Stop
from worldweave.train.task import Task
from worldweave.train.watch import Watch
from worldweave.train.words import counted
from worldweave_registry import (
    PluginError,
    Recipe,
    WeightsError,
    WorldweaveError,
    one_line,
)


class Trainer:
    """Minimise the loss of *task* over the trainable parameters of its model.

    The newest state in *folder* is all there is: starting again from it gives the
    same weights as never having stopped, bit for bit on the same CPU, because every
    step draws from generators seeded by (seed, step).
    """

    def __init__(
        self,
        task: Task,
        folder: Path,
        seed: int,
        *,
        processes: Processes = ALONE,
        watch: Watch | None = None,
    ) -> None:
        self.task = task
        self.model = task.model
        self.recipe = task.recipe
        self.folder = folder
        self.states = States(folder)
        self.seed = seed
        self.processes = processes
        self.watch = watch
        self.step = 0
        self.named = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        matrices = [p for p in self.named.values() if p.ndim > 1]
        vectors = [p for p in self.named.values() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": self.recipe.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=self.recipe.learning_rate,
            betas=self.recipe.betas,
        )
        self.average = {n: p.detach().clone() for n, p in self.named.items()}
        self._notes: Mapping[str, str] = {}

    def run(
        self,
        report: Callable[[Progress], None],
        *,
        save_every: int = 250,
        until: int | None = None,
        stop: Stop | None = None,
    ) -> str:
        """Train up to step *until* (default: the recipe's steps), saving as it goes.

        Return "", or why *stop* has ended it earlier; the last step is saved.
        Raise WorldweaveError where the training diverges or the disk is full; also
        where a loss cannot be had, such as for a file that is gone: then the steps
        that were done are saved.
        """
        stop = Stop() if stop is None else stop
        last = self.recipe.steps if until is None else min(until, self.recipe.steps)
        if self.step >= last:
            return ""
        self.model.train()
        if self.processes.is_first:
            self._check_space()
            if self.watch is not None and not self.watch.has_begun:
                self.watch.begin(self.step, self._notes, self.averaged)
        reason = ""
        while self.step < last and not reason:
            now, reason = self._one(stop.reason())
            report(now)
            if not self.processes.is_first:
                continue
            if self.watch is not None:
                self.watch.after(now, self.averaged)
            if self.step % save_every == 0 or self.step == last or reason:
                self.save()
        if reason and self.watch is not None and self.processes.is_first:
            self.watch.draw()
        return reason

    def _one(self, reason: str) -> tuple[Progress, str]:
        """Do a step; with a reason to stop after it, every process hears of it."""
        generator = self._seeded()
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, self.recipe)
        self.optimizer.zero_grad(set_to_none=True)
        own_loss = self._loss(generator)
        own_loss.backward()  # type: ignore[no-untyped-call]
        told = torch.tensor([own_loss.item(), float(bool(reason))])
        loss, asked = self.processes.average(self.named.values(), told).tolist()
        gradient = float(
            nn.utils.clip_grad_norm_(self.named.values(), self.recipe.max_gradient)
        )
        self._refuse_divergence(loss, gradient)
        self.optimizer.step()
        self._follow()
        self.step += 1
        now = Progress(
            step=self.step,
            steps=self.recipe.steps,
            loss=loss,
            gradient=gradient,
            rate=rate(self.step - 1, self.recipe),
        )
        return now, reason or ("another process stopped" if asked else "")

    def _loss(self, generator: torch.Generator) -> Tensor:
        """Return this step's loss; where it cannot be had, save what was done."""
        try:
            return self.task.loss(generator)
        except WorldweaveError as error:
            if not (self.step and self.processes.is_first):
                raise
            kind = PluginError if isinstance(error, PluginError) else WorldweaveError
            raise kind(f"{one_line(error)}; {self._rescued()}") from error

    def _rescued(self) -> str:
        """Save what was done; return what became of it."""
        try:
            self.save()
        except WorldweaveError as error:
            # Data and states may lie on the same disk.
            return f"the steps since the last state are lost: {one_line(error)}"
        verb = "is" if self.step == 1 else "are"
        done = f"{counted(self.step, 'step')} {verb} saved"
        return f"{done}, and the same command goes on from there"

    def _seeded(self) -> torch.Generator:
        """Return this step's generator; it is the same in every process."""
        seed = self.seed * 1_000_003 + self.step
        # For layers with dice of their own, such as dropout: each process its own.
        torch.manual_seed(seed * self.processes.count + self.processes.rank)
        return torch.Generator().manual_seed(seed)

    def _refuse_divergence(self, loss: float, gradient: float) -> None:
        # A gradient may overflow where the loss does not; clipped, it is NaN.
        if math.isfinite(loss) and math.isfinite(gradient):
            return
        got = f"loss {loss:g}, gradient {gradient:g}"
        if self.step == 0 and self.task.first_fault:
            raise PluginError(
                f"training failed at its first step: {got}; {self.task.first_fault}"
            )
        raise WorldweaveError(
            f"training diverged at step {self.step}: {got}; train in another folder "
            f"with a learning rate below {self.recipe.learning_rate:g}"
        )

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the average follow: a short memory at first, then the recipe's."""
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, parameter in self.named.items():
            self.average[name].lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def load_average(self) -> None:
        """Put the averaged weights into the model: the result of the training."""
        for name, parameter in self.named.items():
            parameter.copy_(self.average[name])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Lend the model with its averaged weights, not training; undo it exactly."""
        now = {name: p.detach().clone() for name, p in self.named.items()}
        was_training = self.model.training
        devices = {p.device for p in now.values() if p.is_cuda}
        self.load_average()
        self.model.eval()
        try:
            # A monitor may roll dice as well; the training must not notice.
            with torch.no_grad(), torch.random.fork_rng(list(devices)):
                yield
        finally:
            with torch.no_grad():
                for name, parameter in self.named.items():
                    parameter.copy_(now[name])
            self.model.train(was_training)

    def save(self) -> None:
        """Write the state; the one before is kept."""
        seen = {} if self.watch is None else self.watch.notes()
        self.states.save(self.step, self._tensors(), {**self._identity(), **seen})

    def resume(self) -> str | None:
        """Continue from the newest good state in the folder; return what was done.

        A damaged state is passed over in favour of the one before, and the answer
        says so. Raise WeightsError where the state belongs to another training, or
        where all are damaged.
        """
        if not self.processes.is_first:
            # By now the first process has put damaged states aside.
            self.processes.wait()
        said = self._resume()
        if self.processes.is_first:
            self.processes.wait()
        return said

    def _resume(self) -> str | None:
        damaged: list[str] = []
        steps = self.states.steps()
        for step in steps:
            try:
                state = self.states.open(step)
            except WeightsError as error:
                damaged.append(str(error))
                continue
            self._restore(state)
            # Or they would be taken for the newest after the next save.
            for newer in steps[: len(damaged)]:
                self.states.set_aside(newer)
            told = "".join(f"{one}; " for one in damaged)
            return f"{told}continued from step {step} in {self.folder}"
        if damaged:
            raise WeightsError(
                f"{'; '.join(damaged)}; there is no other state in {self.folder}; "
                "start again in an empty folder"
            )
        return None

    def _identity(self) -> dict[str, str]:
        recipe = attrs.asdict(self.recipe)
        # Not which version of which plugin names it.
        recipe["dataset"] = self.recipe.dataset
        plain = {key: str(value) for key, value in sorted(recipe.items())}
        return {
            "subject": self.task.what,
            "recipe": json.dumps(plain),
            "seed": str(self.seed),
            "start": self.task.started_from or "fresh weights",
            "base": self.task.stands_on or "nothing frozen",
        }

    def _tensors(self) -> dict[str, Tensor]:
        """Return all that a state holds; what is read back goes into the same names."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.named.items():
            tensors[f"model.{name}"] = parameter.detach()
            tensors[f"average.{name}"] = self.average[name]
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{name}.{key}"] = value
        for name, buffer in self._buffers().items():
            tensors[f"buffer.{name}"] = buffer
        return tensors

    def _buffers(self) -> dict[str, Tensor]:
        """Return what layers keep besides weights, such as running means."""
        weights = dict(self.model.named_parameters())
        whole = self.model.state_dict(keep_vars=True)
        return {name: t.detach() for name, t in whole.items() if name not in weights}

    def _check_space(self) -> None:
        """Raise WorldweaveError unless the states to come have room.

        Besides weights and their average there are two moments each; while a state
        is written, those before are kept.
        """
        need = 4 * sum(p.numel() * p.itemsize for p in self.named.values())
        missing = KEPT + 1 - min(KEPT, len(self.states.steps()))
        self.states.check_space(missing * need)

    @torch.no_grad()
    def _restore(self, state: State) -> None:
        self._refuse_another(state)
        for name, parameter in self.named.items():
            parameter.copy_(state.read(f"model.{name}", parameter))
            self.average[name].copy_(state.read(f"average.{name}", parameter))
            # A parameter that never had a gradient has none of these.
            self.optimizer.state.pop(parameter, None)
            if f"optimizer.{name}.step" in state.files:
                self.optimizer.state[parameter] = {
                    # AdamW counts steps on the CPU wherever the weights are.
                    "step": state.read(f"optimizer.{name}.step", torch.zeros(())),
                    "exp_avg": state.read(f"optimizer.{name}.exp_avg", parameter),
                    "exp_avg_sq": state.read(f"optimizer.{name}.exp_avg_sq", parameter),
                }
        for name, buffer in self._buffers().items():
            buffer.copy_(state.read(f"buffer.{name}", buffer))
        self.step = state.step
        self._notes = state.notes

    def _refuse_another(self, state: State) -> None:
        for key, value in self._identity().items():
            if state.notes.get(key) != value:
                raise MismatchError(
                    f"{state.folder} belongs to another training: its {key} is "
                    f"{state.notes.get(key, 'not known')}, here it is {value}; "
                    "use another --out folder"
                )
        wanted = [f"{part}.{n}" for n in self.named for part in ("model", "average")]
        wanted += [f"buffer.{name}" for name in self._buffers()]
        missing = [name for name in wanted if name not in state.files]
        if missing:
            raise MismatchError(
                f"{state.folder} belongs to another model: it lacks {missing[0]!r}; "
                "use another --out folder"
            )


class MismatchError(WeightsError):
    """A saved state is fine but belongs to another training."""


def rate(step: int, recipe: Recipe) -> float:
    """Return the learning rate of *step*: warm-up, plateau, linear to nought."""
    rising = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    left = (recipe.steps - step) / recipe.steps
    falling = min(1.0, left / recipe.cooldown) if recipe.cooldown else 1.0
    return recipe.learning_rate * rising * falling
