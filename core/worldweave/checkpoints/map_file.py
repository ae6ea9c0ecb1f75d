"""Write and read the weights of learned maps, with whom they are for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from worldweave.checkpoints import store
from worldweave.model.config import DiTConfig
from worldweave.model.map_net import MapNet
from worldweave_registry import WeightsError

KIND = "maps"


def save_map_net(path: Path, net: MapNet, *, base: str) -> int:
    """Write *net* as bfloat16 safetensors and return the size in bytes.

    Raise WorldweaveError where the place cannot be written.
    """
    tensors = {k: v.to(torch.bfloat16) for k, v in net.state_dict().items()}
    metadata = {"kind": KIND, "base": base, "modalities": " ".join(net.names)}
    return store.write(path, tensors, metadata)


def modalities_of(path: Path, *, base: str) -> tuple[str, ...]:
    """Return which modalities the learned maps of *path* know; reads no tensor.

    Raise WeightsError where the file is missing, damaged, something else, or for
    another base than *base*.
    """
    said = store.header(path).metadata
    if said.get("kind") != KIND:
        raise WeightsError(
            f"{path} holds {said.get('kind', 'something else')!r}, not learned maps; "
            f"give a file that worldweave train maps --base {base} has made"
        )
    if said.get("base") != base:
        raise WeightsError(
            f"the learned maps of {path} are for base {said.get('base')!r}, not "
            f"{base!r}; train some with: worldweave train maps --base {base}"
        )
    names = tuple(said.get("modalities", "").split())
    if not names:
        raise WeightsError(
            f"{path} does not say which modalities it knows; it is damaged, get it "
            f"again or run: worldweave train maps --base {base}"
        )
    return names


def load_map_net(
    path: Path,
    config: DiTConfig,
    *,
    base: str,
    wanted: Iterable[str],
    device: torch.device,
    dtype: torch.dtype,
) -> MapNet:
    """Read learned maps for the modalities *wanted* with *base*, strictly; frozen.

    Raise WeightsError where the file is missing, damaged, for another base, or
    knows too few modalities.
    """
    names = modalities_of(path, base=base)
    missing = sorted(set(wanted) - set(names))
    if missing:
        every = ",".join(sorted({*names, *missing}))
        raise WeightsError(
            f"the learned maps of {path} know {', '.join(names)} but not "
            f"{', '.join(missing)}; give {', '.join(missing)} another map, or run: "
            f"worldweave train maps --base {base} --modalities {every}"
        )
    with torch.device("meta"):
        net = MapNet(config, names)
    try:
        store.load(net, path, device=device, dtype=dtype, what="learned maps")
    except WeightsError as error:
        raise WeightsError(
            f"{error}; give a file that worldweave train maps --base {base} has made"
        ) from error
    return net.eval().requires_grad_(False)
