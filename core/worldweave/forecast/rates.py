"""How fast this machine computes: measured once, kept, and used to tell a time."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs.validators import gt, instance_of

from worldweave.forecast.cost import Cost
from worldweave.forecast.machine import machine_name
from worldweave.io.files import atomic_path
from worldweave_registry import WorldweaveError

FORMAT = 1
_ADVICE = "delete it and run: worldweave bench --save"


@attrs.frozen(kw_only=True)
class Key:
    """What a rate was measured for, and holds for alone."""

    machine: str = attrs.field(validator=instance_of(str))
    device: str = attrs.field(validator=instance_of(str))
    dtype: str = attrs.field(validator=instance_of(str))
    base: str = attrs.field(validator=instance_of(str))
    threads: int = attrs.field(validator=instance_of(int))


@attrs.frozen(kw_only=True)
class Rate:
    """Measured floating-point operations a second.

    denoise: of evaluations. autoencode: of encoding and decoding, None where the
    autoencoder's weights were missing. weights: "trained", or "fresh" where the base
    was measured without its own. torch: its version.
    """

    key: Key
    denoise: float = attrs.field(converter=float, validator=gt(0.0))
    autoencode: float | None = attrs.field(
        converter=attrs.converters.optional(float),
        validator=attrs.validators.optional(gt(0.0)),
    )
    weights: str = attrs.field(validator=attrs.validators.in_(("trained", "fresh")))
    torch: str = attrs.field(validator=instance_of(str))


def key_for(base: str, device: torch.device, dtype: torch.dtype) -> Key:
    """Return the key of *base* on this machine, with the threads torch has now."""
    return Key(
        machine=machine_name(device),
        device=device.type,
        dtype=str(dtype).removeprefix("torch."),
        base=base,
        threads=torch.get_num_threads(),
    )


def rates_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where rates are kept: $WORLDWEAVE_CACHE, or the user's cache folder."""
    if chosen := environment.get("WORLDWEAVE_CACHE"):
        return Path(chosen).expanduser() / "rates.json"
    cache = environment.get("XDG_CACHE_HOME")
    folder = Path(cache) if cache else Path.home() / ".cache"
    return folder / "worldweave" / "rates.json"


def read_rates(path: Path) -> dict[Key, Rate]:
    """Return the rates kept in *path*; none where there is no such file.

    Raise WorldweaveError for a file that is damaged or of another format.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise WorldweaveError(f"cannot read {path}: {error}; {_ADVICE}") from error
    try:
        stored = json.loads(text)
        if stored["format"] != FORMAT:
            raise WorldweaveError(
                f"{path} has format {stored['format']!r}, expected {FORMAT}; {_ADVICE}"
            )
        rates = [_rate(each) for each in stored["rates"]]
    except (ValueError, TypeError, KeyError) as error:
        raise WorldweaveError(
            f"{path} is damaged ({type(error).__name__}: {error}); {_ADVICE}"
        ) from error
    return {each.key: each for each in rates}


def _rate(stored: Mapping[str, Any]) -> Rate:
    fields = dict(stored)
    return Rate(key=Key(**fields.pop("key")), **fields)


def find_rate(
    base: str, device: torch.device, dtype: torch.dtype, path: Path | None = None
) -> Rate | None:
    """Return the rate measured for *base* here, None if there is none."""
    kept = read_rates(rates_path() if path is None else path)
    return kept.get(key_for(base, device, dtype))


def save_rate(rate: Rate, path: Path | None = None) -> Path:
    """Keep *rate*, in place of an earlier one of its key; return the file.

    Raise WorldweaveError where the file is damaged or cannot be written.
    """
    path = rates_path() if path is None else path
    kept = {**read_rates(path), rate.key: rate}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldweaveError(
            f"cannot make {path.parent}: {error.strerror}; set WORLDWEAVE_CACHE to a "
            "folder of yours"
        ) from error
    record = {"format": FORMAT, "rates": [attrs.asdict(each) for each in kept.values()]}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return path


def predicted_seconds(cost: Cost, rate: Rate | None) -> float | None:
    """Return the seconds of computing; None where a rate it needs is missing.

    Starting Python, loading weights, controls and the video file come on top.
    """
    if rate is None:
        return None
    around = cost.encode + cost.decode
    if around and rate.autoencode is None:
        return None
    seconds = (cost.denoise + cost.text) / rate.denoise
    return seconds + (around / rate.autoencode if rate.autoencode else 0.0)
