"""The checks of a life in a pipeline find what a branch leaves behind, and undo it."""

import functools
import os
import random

import attrs
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from worldweave import CosmosBranch, Modality, discover
from worldweave.testing import bases, switches
from worldweave.testing.checks import living
from worldweave.testing.kit import Examination, Outcome
from worldweave.testing.subject import Subject
from worldweave_registry import Catalog, Plugin, State

DISABLING = attrs.evolve(living.disabling_leaves_nothing_behind, needs=())
LATER = attrs.evolve(living.enabling_later_is_the_same, needs=())


@pytest.fixture(scope="module")
def subject(site):
    """Return what makes a subject of a modality with a branch of its own."""
    found = discover({"WORLDWEAVE_PLUGINS": "worldweave,toy_base"})

    def make(kind=CosmosBranch, name="own"):
        modality = Modality(
            name=name,
            summary="for tests",
            license="MIT",
            preprocessor=None,
            branch=f"{__name__}:{kind.__qualname__}",
        )
        plugin = Plugin(
            name=name,
            distribution="me",
            version="1",
            state=State.READY,
            modalities=(modality,),
        )
        catalog = Catalog(plugins=(*found.plugins, plugin), hook=found.hook)
        return Subject(
            modality=modality, plugin=plugin, catalog=catalog, base_name="toy"
        )

    return make


@pytest.fixture(scope="module")
def verdict(subject):
    def judge(check, kind, **changes):
        return Examination(subject(kind, **changes), [check]).verdict(check.name)

    return judge


def test_a_sound_branch_lives_and_dies_beside_another_of_its_name(verdict):
    for check in (DISABLING, LATER):
        found = verdict(check, CosmosBranch, name="edge")
        assert found.outcome is Outcome.PASSED, found.says


MADE = {}


class Caches(CosmosBranch):
    def forward(self, latent, step, hint):
        MADE["last"] = super().forward(latent, step, hint)
        return MADE["last"]


@functools.cache
def table(width):
    return torch.zeros(width)


class Tabled(CosmosBranch):
    def forward(self, latent, step, hint):
        plus = table(self.config.hidden)
        return [each + plus for each in super().forward(latent, step, hint)]


class Counted(CosmosBranch):
    every = []  # noqa: RUF012 -- the mistake

    def __init__(self, config):
        super().__init__(config)
        self.every.append(self.zero)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Caches, "what it has computed stayed in memory (2,304 bytes, from {}.MADE)"),
        (Tabled, "what it has computed stayed in memory (96 bytes, from {}.table)"),
        (Counted, "what it has computed stayed in memory ("),
    ],
)
def test_memory_that_stays_is_told_with_its_place(kind, said, verdict):
    found = verdict(DISABLING, kind)
    assert found.outcome is Outcome.FAILED
    assert said.format(__name__) in found.says


class Seeds(CosmosBranch):
    def forward(self, latent, step, hint):
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        return super().forward(latent, step, hint)


def test_what_is_switched_for_everybody_is_told_and_switched_back(verdict):
    dice = torch.get_rng_state()
    found = verdict(DISABLING, Seeds)
    assert found.outcome is Outcome.FAILED
    assert "changed torch's default dtype, torch's dice, which everybody" in found.says
    assert torch.get_default_dtype() is torch.float32
    assert torch.equal(torch.get_rng_state(), dice)


class Replaces(CosmosBranch):
    def forward(self, latent, step, hint):
        F.gelu = F.relu
        return super().forward(latent, step, hint)


def test_a_bit_that_stays_is_told(monkeypatch, verdict):
    monkeypatch.setattr(F, "gelu", F.gelu)
    found = verdict(DISABLING, Replaces)
    assert found.outcome is Outcome.FAILED
    assert "the same request gives another video" in found.says


class Harms(CosmosBranch):
    base = None
    moves = False
    before = None

    def forward(self, latent, step, hint):
        weight = self.base.dit.blocks[0].mlp.down.weight
        if not self.moves:
            weight.data.add_(1e-9)
        elif self.before is None:
            # Kept, or a copy of the copy could come to lie where the first was.
            type(self).before, weight.data = weight.data, weight.data.clone()
        return super().forward(latent, step, hint)


@pytest.mark.parametrize("moves", [True, False])
def test_a_base_that_is_touched_is_told_and_read_anew(
    moves, monkeypatch, subject, verdict
):
    kept = bases.loaded_base(subject())
    monkeypatch.setattr(Harms, "base", kept)
    monkeypatch.setattr(Harms, "moves", moves)
    monkeypatch.setattr(Harms, "before", None)
    found = verdict(DISABLING, Harms)
    assert found.outcome is Outcome.FAILED
    assert "changed tensors of the base: dit.blocks.0.mlp.down.weight" in found.says
    assert bases.loaded_base(subject()) is not kept


def test_every_switch_is_seen_and_put_back():
    def hook(module, args, output):
        return None

    turned = {
        "the current folder": lambda: os.chdir("/"),
        "the environment": lambda: os.environ.update(WORLDWEAVE_TEST="1"),
        "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
        "torch's default device": lambda: torch.set_default_device("meta"),
        "gradients": lambda: torch.set_grad_enabled(False),
        "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(
            True
        ),
        "torch's precision of float32 products": (
            lambda: torch.set_float32_matmul_precision("medium")
        ),
        "torch's cuDNN benchmark": lambda: setattr(
            torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark
        ),
        "torch's threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        "torch's search for anomalies": lambda: torch.autograd.set_detect_anomaly(True),
        "torch's hooks for every module": (
            lambda: torch.nn.modules.module.register_module_forward_hook(hook)
        ),
        "torch's dice": lambda: torch.rand(1),
        "numpy's dice": lambda: np.random.rand(),
        "Python's dice": random.random,
        "numpy's errors": lambda: np.seterr(all="raise"),
    }
    assert list(turned) == [switch.name for switch in switches._SWITCHES]
    for name, turn in turned.items():
        with switches.watched() as changed:
            assert changed() == []
            turn()
            assert changed() == [name]
        with switches.watched() as changed:
            pass
        assert not torch.nn.modules.module._global_forward_hooks
    drawn = np.random.get_state()[1][:3].tolist(), random.getstate()[1][:3]
    with switches.watched():
        np.random.seed(1)
        random.seed(1)
    assert drawn == (np.random.get_state()[1][:3].tolist(), random.getstate()[1][:3])
    assert torch.zeros(1).device.type == "cpu"
    assert torch.is_grad_enabled()


def test_a_base_is_read_once_for_all_subjects(subject):
    assert bases.loaded_base(subject()) is bases.loaded_base(subject(Caches))
