"""Take what was measured on one GPU into the model, in place of what it assumes."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldweave_kernels.bench.communication import Figure
from worldweave_kernels.bench.rank_block import SHAPES
from worldweave_kernels.bench.ranks import SCHEMA
from worldweave_kernels.bench.results import Results, Row, from_json
from worldweave_kernels.bench.scaling_figures import Gpu

_NAMES = {"H200": r"\bH200\b", "GB200": r"\bG?B200\b"}
_SHAPE, _DTYPE = "cosmos-7b", "bfloat16"
_WANTED = (
    "give the JSON of worldweave bench kernels, or of it with --ranks, that was run "
    f"at {_SHAPE} in {_DTYPE} on an H200 or a GB200"
)


@dataclass(frozen=True)
class Measured:
    """Of one kind of GPU: rates by the name of their figure, or seconds of a block."""

    cluster: str
    rates: Mapping[str, Figure]
    #: By U, the ranks that share it, 1 among them; without what they exchange.
    blocks: tuple[tuple[int, float], ...] = ()

    def on(self, gpu: Gpu) -> Gpu:
        """Return *gpu* with these rates, if it is of this kind."""
        if gpu.name != self.cluster or not self.rates:
            return gpu
        return dataclasses.replace(
            gpu,
            products=self.rates.get("products", gpu.products),
            attention=self.rates.get("attention", gpu.attention),
            bandwidth=self.rates.get("bandwidth", gpu.bandwidth),
            efficiency=Figure(1.0, "", "assumed", "the rates are measured ones"),
        )

    def blocks_on(self, gpu: Gpu) -> tuple[tuple[int, float], ...]:
        return self.blocks if gpu.name == self.cluster else ()


def read(path: Path) -> Measured:
    """Read *path*. Raise ValueError where it tells nothing of a modelled GPU."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}; {_WANTED}")
    text = path.read_text("utf-8")
    try:
        whole = json.loads(text)
        cluster = _cluster(whole["machine"]["name"], path)
        return (
            _of_blocks(whole, cluster, path)
            if "cluster" in whole
            else _of_rates(from_json(text), cluster, path)
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is no result of worldweave bench kernels; {_WANTED}"
        ) from error


def _cluster(name: str, path: Path) -> str:
    for cluster, pattern in _NAMES.items():
        if re.search(pattern, name):
            return cluster
    raise ValueError(f"{path} was measured on {name}, which is not modelled; {_WANTED}")


def _of_blocks(whole: dict[str, Any], cluster: str, path: Path) -> Measured:
    if whole["schema"] != SCHEMA:
        raise ValueError(
            f"{path} has schema {whole['schema']}, this version reads {SCHEMA}; "
            "measure again"
        )
    if (whole["shape"], whole["dtype"]) != (_SHAPE, _DTYPE):
        raise ValueError(
            f"{path} has blocks of {whole['shape']} in {whole['dtype']}; {_WANTED}"
        )
    times: dict[str, dict[int, float]] = {}
    for row in whole["rows"]:
        if row["time"] is not None:
            times.setdefault(row["mode"], {})[row["ranks"]] = row["time"]["median"]
    blocks = times.get("graph") or times.get("eager") or {}
    if 1 not in blocks:
        raise ValueError(f"{path} has no time of one GPU; measure again")
    return Measured(cluster, {}, tuple(sorted(blocks.items())))


def _of_rates(results: Results, cluster: str, path: Path) -> Measured:
    machine = results.machine
    source = f"{machine.name}, {machine.date[:10]}, commit {machine.commit}"
    rates = {}
    for each in results.ceilings:
        if each.dtype == _DTYPE:
            rates["bandwidth"] = Figure(each.bandwidth, "B/s", "measured", source)
            rates["products"] = Figure(each.flops, "FLOP/s", "measured", source)
    found = [row.rate for row in results.rows if _is_attention(row)]
    known = [rate for rate in found if rate is not None]
    if known:
        rates["attention"] = Figure(max(known), "FLOP/s", "measured", source)
    if not rates:
        raise ValueError(f"{path} has no rate in {_DTYPE}; {_WANTED}")
    return Measured(cluster, rates)


def _is_attention(row: Row) -> bool:
    """Tell whether this is self-attention of the whole shape, and right."""
    block = SHAPES[_SHAPE]
    sizes = {"L": block.tokens, "M": block.tokens, "D": block.hidden, "H": block.heads}
    asked = (row.op, row.mode, row.dtype) == ("attention", "forward", _DTYPE)
    return asked and row.holds and all(row.shape.get(a) == n for a, n in sizes.items())
