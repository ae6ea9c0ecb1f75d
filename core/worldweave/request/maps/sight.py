"""What can be seen in the source: by plugins, or by a rule over the labels."""

# T H W video frames, rows, columns

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from worldweave.base import Frames
from worldweave.request.labels.salient import (
    ObjectMask,
    Verdict,
    foreground_by_rule,
    foreground_mask,
    objects_from_labels,
    verdicts_from,
)
from worldweave.request.labels.video import LabelVideo
from worldweave.request.sources import Objects
from worldweave_registry import Hooks, PluginError, WorldweaveError

BY_RULE = "rule"
FROM_LABELS = "labels"


@attrs.frozen(kw_only=True, eq=False, slots=False)
class Sight:
    """The objects of a video, and which of them are foreground; each found once.

    source: uint8 (T, H, W, 3), None where only control videos are given.
    """

    objects: Objects
    source: Frames | None
    labels: LabelVideo | None
    hook: Hooks

    @property
    def needs_model(self) -> bool:
        """Tell whether a plugin's model must run to know the foreground."""
        is_light = self.objects.masks == FROM_LABELS
        return not is_light or self.objects.classifier != BY_RULE

    def see(self, prompt: str) -> Any:
        """Return what the first plugin that answers makes of *prompt*, or None."""
        return self.hook.worldweave_map(prompt=prompt, video=self._video("a prompt"))

    def foreground(self) -> npt.NDArray[np.bool_]:
        """Return the mask (T or 1, H, W) of all foreground objects.

        Raise WorldweaveError where there is no object, or none is foreground.
        """
        return self._foreground

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """What each object was called, and why."""
        if self.objects.classifier == BY_RULE:
            return foreground_by_rule(self._masks, self._length)
        name = self.objects.classifier
        answer = self.hook.worldweave_foreground(
            classifier=name,
            video=self._video(f"classifier {name!r}"),
            masks={each.name: each.mask for each in self._masks},
        )
        if answer is None:
            raise WorldweaveError(
                f"no plugin knows a classifier {name!r}; give {BY_RULE!r}, or install "
                "a plugin that implements worldweave_foreground"
            )
        return verdicts_from(answer, self._masks)

    @cached_property
    def _foreground(self) -> npt.NDArray[np.bool_]:
        return foreground_mask(self._masks, self.verdicts)

    @cached_property
    def _masks(self) -> list[ObjectMask]:
        if self.objects.masks != FROM_LABELS:
            return self._seen(self.objects.masks)
        if self.labels is None:
            raise WorldweaveError(
                "a map of foreground and background needs to know the objects; give "
                'labels, or what to look for: objects: {"masks": "a car. a person."}'
            )
        return objects_from_labels(self.labels)

    def _seen(self, prompt: str) -> list[ObjectMask]:
        video = self._video("objects by prompt")
        answer = self.hook.worldweave_objects(prompt=prompt, video=video)
        if answer is None:
            raise WorldweaveError(
                f"no plugin finds objects ({prompt!r}); give labels, or install a "
                "plugin that implements worldweave_objects, for instance "
                "worldweave[grounding]"
            )
        masks = dict(answer) if isinstance(answer, Mapping) else {}
        for name, mask in masks.items():
            array = np.asarray(mask)
            if array.shape != video.shape[:3] or array.dtype != np.bool_:
                raise PluginError(
                    f"worldweave_objects gave {array.dtype} {array.shape} for "
                    f"{name!r}, expected bool {video.shape[:3]}; report it to the "
                    "plugin's author"
                )
        return [ObjectMask(name=n, mask=np.asarray(m)) for n, m in masks.items()]

    @property
    def _length(self) -> int:
        return max(len(each.mask) for each in self._masks) if self._masks else 1

    def _video(self, what: str) -> Frames:
        if self.source is None:
            raise WorldweaveError(
                f"{what} needs a source video to look at, and there is none; give one"
            )
        return self.source
