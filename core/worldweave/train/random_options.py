"""Options of a preprocessor that a recipe lets every clip draw anew."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch

from worldweave.base import Frames
from worldweave.request.check import make_preprocessor
from worldweave.request.controls import report_of, run_preprocessor
from worldweave_registry import (
    Modality,
    PluginError,
    Problems,
    Recipe,
    WorldweaveError,
)

#: Up to so many combinations all are tried before a training starts.
ALL_TRIED = 10_000
_SHOWN = 10


@attrs.frozen(kw_only=True, eq=False)
class RandomOptions:
    """What is drawn for each clip: every option on its own, its values alike."""

    modality: Modality
    choices: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(cls, modality: Modality, recipe: Recipe) -> RandomOptions | None:
        """Return what *recipe* draws for *modality*; None where it draws nothing.

        Raise Problems for options the preprocessor does not have, and for values
        and combinations it refuses. Of more than 10000 combinations every value is
        tried once, beside the first values of the other options.
        """
        if not recipe.random_options:
            return None
        made = cls(modality=modality, choices=recipe.random_options)
        refused: dict[str, None] = {}
        for options in made._to_try():
            try:
                make_preprocessor(modality.name, modality, options)
            except Problems as error:
                refused |= dict.fromkeys(error.problems)
        if refused:
            raise Problems(made._told(list(refused)))
        return made

    def draw(self, generator: torch.Generator) -> dict[str, Any]:
        """Return a value for every option."""
        return {
            name: values[int(torch.randint(len(values), (), generator=generator))]
            for name, values in self.choices.items()
        }

    def control(self, options: Mapping[str, Any], video: Frames) -> Frames:
        """Make the control of a video (T, H, W, 3) with drawn *options*.

        Raise WorldweaveError naming the options where it cannot be made.
        """
        name = self.modality.name
        try:
            preprocess = make_preprocessor(name, self.modality, options)
            if preprocess is None:
                raise WorldweaveError(f"{name!r} has no preprocessor to draw for")
            return run_preprocessor(
                name, preprocess, video, report=report_of(self.modality)
            )
        except WorldweaveError as error:
            raise PluginError(
                f"with {_listed(options)}, drawn by its recipe: {error}"
            ) from error

    def _to_try(self) -> Iterator[dict[str, Any]]:
        names, values = list(self.choices), list(self.choices.values())
        if math.prod(map(len, values)) <= ALL_TRIED:
            for each in itertools.product(*values):
                yield dict(zip(names, each, strict=True))
            return
        first = {name: choices[0] for name, choices in self.choices.items()}
        for name, choices in self.choices.items():
            for value in choices:
                yield first | {name: value}

    def _told(self, refused: list[str]) -> list[str]:
        whose = f"random_options in the recipe of {self.modality.name!r}"
        told = [f"{whose}: {problem}" for problem in refused[:_SHOWN]]
        if len(refused) > _SHOWN:
            told.append(f"{whose}: {len(refused) - _SHOWN} more are refused")
        return told


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in options.items())
