"""Masks through a video from boxes in one frame of it, with SAM 2."""

# T frames, H W rows and columns, N objects

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from worldweave import WeightsError
from worldweave_plugins.grounding import pictures, reading
from worldweave_plugins.grounding.places import TRACKER

#: What the model calls the two corners of a box among its points.
CORNERS: Final = (2, 3)


class _Prepared(Sequence[Tensor]):
    """The frames of a video, each prepared when it is asked for."""

    def __init__(
        self,
        frames: npt.NDArray[np.uint8],
        preparation: pictures.Preparation,
        size: tuple[int, int],
    ) -> None:
        self.frames = frames
        self.preparation = preparation
        self.picture_size = size

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, at: Any) -> Any:
        return self.preparation.pixels(self.frames[at], self.picture_size)[0]


class Tracker:
    """A Sam2VideoModel with its preparation."""

    def __init__(self, model: Any, preparation: pictures.Preparation) -> None:
        self.model = model
        self.preparation = preparation

    def track(
        self,
        frames: npt.NDArray[np.uint8],
        start: int,
        boxes: npt.NDArray[np.float32],
    ) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
        """Follow what *boxes* (N, 4) hold in frame *start* to both ends of the video.

        Boxes are left, top, right, bottom in pixels. Yield each frame once: its
        number and the masks (N, H, W).
        """
        session = self._session(frames, start, boxes)
        yield start, self._step(session, start, is_reverse=False)
        for at in range(start + 1, len(frames)):
            yield at, self._step(session, at, is_reverse=False)
        # Both directions begin with the first frame alone, however long the other.
        self._forget(session, lambda _: True)
        for at in range(start - 1, -1, -1):
            yield at, self._step(session, at, is_reverse=True)

    def _session(
        self,
        frames: npt.NDArray[np.uint8],
        start: int,
        boxes: npt.NDArray[np.float32],
    ) -> Any:
        """Open a session in which object i is what box i holds in frame *start*."""
        height, width = frames.shape[1:3]
        side = self.model.image_size
        session = _session_kind()(
            video_height=height,
            video_width=width,
            inference_device=self.model.device,
            inference_state_device=self.model.device,
            dtype=self.model.dtype,
        )
        # A prepared frame has 12 MB; kept for all frames they would fill the memory.
        session.processed_frames = _Prepared(frames, self.preparation, (side, side))
        scale = torch.tensor([side / width, side / height])
        corners = torch.from_numpy(boxes.astype(np.float32)).view(-1, 2, 2) * scale
        for number, points in enumerate(corners):
            session.add_point_inputs(
                session.obj_id_to_idx(number),
                start,
                {
                    "point_coords": points.view(1, 1, 2, 2),
                    "point_labels": torch.tensor(CORNERS, dtype=torch.int32).view(
                        1, 1, 2
                    ),
                },
            )
        session.obj_with_new_inputs = list(range(len(corners)))
        return session

    @torch.inference_mode()
    def _step(
        self, session: Any, at: int, *, is_reverse: bool
    ) -> npt.NDArray[np.bool_]:
        """Compute the masks (N, H, W) of frame *at* and drop what no other needs."""
        output = self.model(session, frame_idx=at, reverse=is_reverse)
        size = session.video_height, session.video_width
        logits = output.pred_masks.float()
        scaled = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        for kept in session.output_dict_per_obj.values():
            for frame in kept["non_cond_frame_outputs"].values():
                frame["high_res_masks"] = frame["pred_masks"] = None
        config = self.model.config
        reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)
        self._forget(session, lambda other: abs(other - at) >= reach)
        masks: npt.NDArray[np.bool_] = (scaled[:, 0] > 0).cpu().numpy()
        return masks

    def _forget(self, session: Any, is_old: Callable[[int], bool]) -> None:
        """Drop the memories of the tracked frames for which *is_old*."""
        for kept in session.output_dict_per_obj.values():
            memories = kept["non_cond_frame_outputs"]
            for frame in [frame for frame in memories if is_old(frame)]:
                del memories[frame]


def _session_kind() -> Any:
    return reading.library(
        "transformers.models.sam2_video.modeling_sam2_video"
    ).Sam2VideoInferenceSession


@lru_cache(maxsize=1)
def load(folder: Path, device: torch.device) -> Tracker:
    """Read SAM 2 from *folder*, once in a process."""
    reading.check_type(folder, TRACKER.what, TRACKER.model_types)
    preparation = pictures.read(folder)
    kind = reading.library("transformers").Sam2VideoModel
    model = reading.read_model(kind, folder, TRACKER.what, dtype=torch.float32)
    if not isinstance(model.image_size, int):
        raise WeightsError(
            f"{folder / 'config.json'} has image_size {model.image_size!r}, expected "
            "one number: SAM 2 sees squares; get it again"
        )
    return Tracker(model.to(device), preparation)
