"""What a plugin can leave switched on for everybody: global state, and how it was."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import torch
from torch.nn.modules import module as nn_module


@attrs.frozen
class _Switch:
    """A piece of global state: its name, its value now, and how to set it."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def _set_device(device: torch.device) -> None:
    # The CPU is what torch computes on unless told; None stops telling it.
    torch.set_default_device(None if device.type == "cpu" else device)


def _set_benchmark(value: bool) -> None:
    torch.backends.cudnn.benchmark = value


def _global_hooks() -> dict[str, dict[Any, Any]]:
    """Return the hooks torch calls for every module there is, by kind."""
    return {
        name: table
        for name, table in vars(nn_module).items()
        if name.startswith("_global_") and isinstance(table, dict)
    }


def _put_hooks_back(before: dict[str, dict[Any, Any]]) -> None:
    for name, table in _global_hooks().items():
        table.clear()
        table.update(before[name])


def _numpy_dice() -> tuple[Any, ...]:
    kind, key, *rest = np.random.get_state(legacy=True)
    return (kind, tuple(np.asarray(key).tolist()), *rest)


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # it has been removed


def _set_folder(path: str) -> None:
    if path:
        os.chdir(path)


def _environment() -> dict[str, str]:
    # pytest tells there which test is running, and in which part of it.
    return {n: v for n, v in os.environ.items() if n != "PYTEST_CURRENT_TEST"}


def _set_environment(values: dict[str, str]) -> None:
    for name in _environment().keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


_SWITCHES = (
    _Switch("the current folder", _current_folder, _set_folder),
    _Switch("the environment", _environment, _set_environment),
    _Switch("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    _Switch("torch's default device", torch.get_default_device, _set_device),
    _Switch("gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    _Switch(
        "torch's deterministic algorithms",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    _Switch(
        "torch's precision of float32 products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    _Switch(
        "torch's cuDNN benchmark",
        lambda: torch.backends.cudnn.benchmark,
        _set_benchmark,
    ),
    _Switch("torch's threads", torch.get_num_threads, torch.set_num_threads),
    _Switch(
        "torch's search for anomalies",
        torch.is_anomaly_enabled,
        torch.autograd.set_detect_anomaly,
    ),
    _Switch(
        "torch's hooks for every module",
        lambda: {name: dict(table) for name, table in _global_hooks().items()},
        _put_hooks_back,
    ),
    _Switch(
        "torch's dice",
        lambda: torch.get_rng_state().tolist(),
        lambda state: torch.set_rng_state(torch.tensor(state, dtype=torch.uint8)),
    ),
    _Switch("numpy's dice", _numpy_dice, np.random.set_state),
    _Switch("Python's dice", random.getstate, random.setstate),
    _Switch("numpy's errors", np.geterr, lambda kinds: np.seterr(**kinds)),
)


@contextlib.contextmanager
def watched() -> Iterator[Callable[[], list[str]]]:
    """Lend a look at what has changed so far, in words; put all back in the end.

    Dice are among it: thrown or seeded, they change what others draw from them.
    """
    before = {switch: switch.read() for switch in _SWITCHES}

    def changed() -> list[str]:
        return [
            switch.name for switch, value in before.items() if switch.read() != value
        ]

    try:
        yield changed
    finally:
        for switch, value in before.items():
            if switch.read() != value:
                switch.write(value)
