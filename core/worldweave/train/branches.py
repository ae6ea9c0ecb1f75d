"""The frozen branches a training weaves, and clips with the controls of all."""

# N clip, C channel, T H W latent positions

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs
import numpy as np
import torch
from torch import Tensor

from worldweave.base import Autoencoder, Clip, Frames
from worldweave.io.sizes import to_unit
from worldweave.loading import LoadedBase, load_branch
from worldweave.model.branch import ControlBranch
from worldweave.request.check import branch_weights
from worldweave.train.branch import control_maker
from worldweave.train.clips import ClipSet, MakeControl
from worldweave_registry import (
    Catalog,
    Modality,
    Problems,
    WeightsError,
    WorldweaveError,
    resolve,
)


@attrs.frozen(kw_only=True, eq=False)
class Branches:
    """The frozen branches that learned maps are to weave, in a fixed order.

    controls: what makes a clip's control for each. files: their weights.
    """

    networks: Mapping[str, ControlBranch]
    controls: Mapping[str, MakeControl]
    files: Mapping[str, Path] = attrs.field(factory=dict[str, Path])


def with_weights(catalog: Catalog, base: str) -> list[str]:
    """Return the modalities that have weights for *base*, by name.

    Not those whose weights licences forbid to use.
    """
    return [
        name
        for name, modality in catalog.modalities.items()
        if _has_weights(modality, base, catalog)
    ]


def _has_weights(modality: Modality, base: str, catalog: Catalog) -> bool:
    try:
        weights = branch_weights(modality, base)
    except WeightsError:
        return False
    return not catalog.refusal(weights)


def branch_files(catalog: Catalog, base: str, names: Iterable[str]) -> dict[str, Path]:
    """Return the checkpoint of each branch; raise Problems naming all that lack."""
    files: dict[str, Path] = {}
    problems = []
    for name in names:
        try:
            weights = branch_weights(catalog.find(name), base)
            files[name] = resolve(weights, catalog.hook)
        except WorldweaveError as error:
            problems.append(str(error))
    if problems:
        raise Problems(problems)
    return files


def load_branches(
    catalog: Catalog, base: LoadedBase, files: Mapping[str, Path]
) -> Branches:
    """Read the branches of *files* for *base*, frozen."""
    found = {name: catalog.find(name) for name in files}
    return Branches(
        networks={
            name: load_branch(found[name], base.config, base.placement, path)
            for name, path in files.items()
        },
        controls={name: control_maker(each) for name, each in found.items()},
        files={f"branch {name}": path for name, path in files.items()},
    )


class ControlledClips:
    """Clips encoded once, and the controls of several modalities beside them."""

    def __init__(
        self,
        clips: Iterable[Clip],
        autoencoder: Autoencoder,
        controls: Mapping[str, MakeControl],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._kept: dict[str, list[Frames]] = {name: [] for name in controls}
        self._autoencoder = autoencoder
        self._device = device
        self.clips = ClipSet(
            self._noting(clips, controls),
            autoencoder,
            device=device,
            dtype=dtype,
        )

    def hints(self, index: Iterable[int], names: Iterable[str]) -> dict[str, Tensor]:
        """Return hints (N, C', T, H, W) of the numbered clips, by modality."""
        index = list(index)
        with torch.no_grad():
            return {
                name: self._autoencoder.encode_hint(
                    torch.cat([to_unit(self._kept[name][i]) for i in index]).to(
                        self._device
                    )
                )
                for name in names
            }

    def _noting(
        self, clips: Iterable[Clip], controls: Mapping[str, MakeControl]
    ) -> Iterator[Clip]:
        for clip in clips:
            for name, make in controls.items():
                self._kept[name].append(np.ascontiguousarray(make(clip)))
            yield clip
