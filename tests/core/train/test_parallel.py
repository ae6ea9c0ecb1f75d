"""Several processes train as one, and end together."""

import os
import socket
import subprocess
import sys

import pytest
import torch
from torch import nn

from worldweave.train.loop import Trainer
from worldweave.train.objective import Objective
from worldweave.train.parallel import ALONE, Processes, joined
from worldweave.train.task import Task
from worldweave_registry import Recipe, WorldweaveError

# Trains a small network of its own in float32: in bfloat16 sums differ by more.
PROGRAM = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
import test_parallel
from worldweave.train.parallel import joined

torch.set_num_threads(1)
with joined(torch.device("cpu")) as (processes, device):
    test_parallel.train(Path(sys.argv[2]), processes, fails=sys.argv[3] == "fails")
"""


def train(folder, processes, *, fails=False):
    """Train six steps; with *fails* the last process raises after three."""
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "net": nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4)),
            "unused": nn.Linear(1, 1),
        }
    )
    clean = torch.randn(20, 2, 1, 1, 2, generator=torch.Generator().manual_seed(1))
    recipe = Recipe(steps=6, learning_rate=0.01, batch_size=4, warmup=2)
    objective = Objective(sigma_mean=0.0, sigma_std=1.0, given_rate=0.0)
    share = processes.share(recipe.batch_size)

    def loss(generator):
        index = torch.randint(20, (4,), generator=generator)
        return objective.loss(
            lambda latent, _: model["net"](latent.flatten(1)).view_as(latent),
            clean[index],
            torch.zeros(4, 1, 1)[share],
            24.0,
            generator,
            share,
        )

    def report(now):
        if fails and now.step == 3 and not processes.is_first:
            raise RuntimeError("this process has had enough")

    task = Task(what="toy", model=model, loss=loss, recipe=recipe, save=lambda _: [])
    trainer = Trainer(task, folder, 3, processes=processes)
    trainer.resume()
    trainer.run(report, save_every=3)
    return trainer


def start(folder, how="", count=2):
    """Start *count* processes as torchrun does; return them when all have ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [os.path.dirname(__file__), folder, how]
    common = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, paths)],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    return [(process.communicate(timeout=100)[1], process) for process in started]


def test_two_processes_train_as_one(tmp_path):
    for said, process in start(tmp_path / "two"):
        assert process.returncode == 0, said
    alone = train(tmp_path / "one", ALONE)
    state = alone.states.open(6)
    both = type(alone.states)(tmp_path / "two").open(6)
    assert both.files.keys() == state.files.keys()
    for name, parameter in alone.named.items():
        for part in ("model", "average"):
            key = f"{part}.{name}"
            torch.testing.assert_close(
                both.read(key, parameter),
                state.read(key, parameter),
                rtol=0,
                atol=1e-5,
            )


def test_where_one_process_fails_the_other_ends(tmp_path):
    (_, first), (said, second) = start(tmp_path / "two", "fails")
    assert second.returncode != 0
    assert "this process has had enough" in said
    assert first.returncode != 0
    trainer = train(tmp_path / "two", ALONE)
    assert trainer.step == 6


def test_every_sample_belongs_to_one_process():
    batch = list(range(12))
    shares = [batch[Processes(rank, 3).share(12)] for rank in range(3)]
    assert shares == [batch[:4], batch[4:8], batch[8:]]
    assert batch[ALONE.share(12)] == batch


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(
        WorldweaveError, match=r"batch of 8 .* 3 processes; .* multiple of 3"
    ):
        Processes(0, 3).share(8)


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(torch.device("cpu")) as (processes, device):
        assert processes == ALONE
        assert device == torch.device("cpu")
