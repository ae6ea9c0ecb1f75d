"""Boxes from text in one frame, with Grounding DINO."""

# Q queries (boxes), L text tokens, P phrases

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worldweave import WeightsError, WorldweaveError
from worldweave_plugins.grounding import pictures, reading
from worldweave_plugins.grounding.places import DETECTOR


@attrs.frozen(kw_only=True, eq=False)
class Detections:
    """Every box the model offers in a frame, good and bad."""

    boxes: npt.NDArray[np.float32]
    """(Q, 4): left, top, right, bottom in pixels of the frame."""
    scores: npt.NDArray[np.float32]
    """(Q,): the best probability over all tokens of the text."""
    phrases: npt.NDArray[np.int64]
    """(Q,): the phrase whose tokens fit the box best."""


def split(prompt: str) -> tuple[str, ...]:
    """Return the phrases of ``"A car. a person."``: lower case, each once.

    Raise WorldweaveError if there are none.
    """
    parts = (" ".join(part.lower().split()) for part in prompt.split("."))
    phrases = tuple(dict.fromkeys(part for part in parts if part))
    if not phrases:
        raise WorldweaveError(
            f"the prompt {prompt!r} names nothing; write phrases that end in a full "
            "stop, such as 'a car. a person.'"
        )
    return phrases


def to_corners(
    boxes: npt.NDArray[np.float32], height: int, width: int
) -> npt.NDArray[np.float32]:
    """Turn (N, 4) centres and sizes in 0..1 into corners in pixels of the frame."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = np.concatenate([centre - half, centre + half], 1)
    scale = np.array([width, height, width, height], np.float32)
    pixels: npt.NDArray[np.float32] = (corners * scale).astype(np.float32)
    return pixels


class Detector:
    """A GroundingDinoForObjectDetection with its tokenizer and preparation."""

    def __init__(
        self, model: Any, tokenizer: Any, preparation: pictures.Preparation
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.preparation = preparation

    @torch.inference_mode()
    def detect(
        self, frame: npt.NDArray[np.uint8], phrases: Sequence[str]
    ) -> Detections:
        """Offer boxes for *phrases* in a uint8 (H, W, 3) frame."""
        height, width = frame.shape[:2]
        tokens, spans = self._read(phrases)
        pixels = self.preparation.pixels(frame, self.preparation.size(height, width))
        device = self.model.device
        output = self.model(
            pixel_values=pixels.to(device),
            pixel_mask=torch.ones(1, *pixels.shape[2:], dtype=torch.long).to(device),
            input_ids=tokens.to(device),
            attention_mask=torch.ones_like(tokens).to(device),
            token_type_ids=torch.zeros_like(tokens).to(device),
        )
        likely = output.logits[0].float().sigmoid().cpu()
        by_phrase = torch.stack([likely[:, span].amax(1) for span in spans], 1)
        return Detections(
            boxes=to_corners(output.pred_boxes[0].float().cpu().numpy(), height, width),
            scores=likely.amax(1).numpy(),
            phrases=by_phrase.argmax(1).numpy(),
        )

    def _read(self, phrases: Sequence[str]) -> tuple[Tensor, list[list[int]]]:
        """Return tokens (1, L), and for each phrase the positions of its tokens."""
        text = ". ".join(phrases) + "."
        read = self.tokenizer.encode(text)
        most = self.model.config.max_text_len
        if len(read.ids) > most:
            raise WorldweaveError(
                f"the prompt has {len(read.ids)} tokens, but Grounding DINO reads "
                f"{most}; name fewer things"
            )
        spans: list[list[int]] = []
        start = 0
        for phrase in phrases:
            end = start + len(phrase)
            spans.append(
                [
                    position
                    for position, (left, right) in enumerate(read.offsets)
                    if start <= left < right <= end
                ]
            )
            if not spans[-1]:
                raise WorldweaveError(
                    f"Grounding DINO cannot read the phrase {phrase!r}; use plain words"
                )
            start = end + len(". ")
        return torch.tensor([read.ids]), spans


@lru_cache(maxsize=1)
def load(folder: Path, device: torch.device) -> Detector:
    """Read Grounding DINO from *folder*, once in a process."""
    reading.check_type(folder, DETECTOR.what, DETECTOR.model_types)
    preparation = pictures.read(folder, has_edges=True)
    tokenizer = reading.read_tokenizer(folder)
    kind = reading.library("transformers").GroundingDinoForObjectDetection
    model = reading.read_model(kind, folder, DETECTOR.what, dtype=torch.float32)
    known = model.config.text_config.vocab_size
    if (size := tokenizer.get_vocab_size()) > known:
        raise WeightsError(
            f"{folder / 'tokenizer.json'} has {size} tokens, but the model beside it "
            f"knows {known}; get both from one place"
        )
    return Detector(model.to(device), tokenizer, preparation)
