"""Foreground or background: a SmolVLM is shown each object, and its answer weighed."""

# T frames, H W rows and columns, L tokens

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worldweave import WeightsError
from worldweave_plugins.grounding import pictures, places, reading
from worldweave_plugins.grounding.settings import Settings

#: The frames of an object that are shown; those where it is large, evenly spaced.
SHOWN: Final = 3
RED: Final = (255, 0, 0)
ANSWERS: Final = (" foreground", " background")
#: A conversation as SmolVLM was trained on, with the places of picture and name.
CONVERSATION: Final = (
    "<|im_start|>User:{picture}One object in this picture has a red outline: {name}. "
    "Does it belong to the foreground, to what the picture is about, or to the "
    "background? Answer with one word, foreground or background."
    "<end_of_utterance>\nAssistant:"
)
IMAGE: Final = "<image>"
FENCE: Final = "<fake_token_around_image>"
#: One token to the smaller SmolVLMs, ordinary text to that of 2.2 B parameters.
WHOLE: Final = "<global-img>"
SPECIAL: Final = ("<|im_start|>", "<end_of_utterance>", IMAGE, FENCE)


def foreground(
    video: npt.NDArray[np.uint8], masks: Mapping[str, npt.NDArray[np.bool_]]
) -> dict[str, bool]:
    """Tell of each mask (T, H, W) whether the model calls it foreground.

    An object that is nowhere is background. Raise WorldweaveError where
    transformers, the model or a sensible setting is absent.
    """
    settings = Settings.from_environment()
    reading.library("transformers")
    device = reading.device(settings.device)
    (folder,) = places.find(settings, places.JUDGE)
    judge = load(folder, device)
    return {name: judge.is_foreground(name, video, masks[name]) for name in masks}


class Judge:
    """A SmolVLM with its tokenizer and preparation."""

    def __init__(
        self, model: Any, tokenizer: Any, preparation: pictures.Preparation
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.preparation = preparation

    def is_foreground(
        self,
        name: str,
        video: npt.NDArray[np.uint8],
        mask: npt.NDArray[np.bool_],
    ) -> bool:
        """Weigh both answers over the frames that show the object best."""
        balance = 0.0
        for at in shown(mask):
            near, far = self.weigh(name, outlined(video[at], mask[at]))
            balance += near - far
        return balance > 0

    @torch.inference_mode()
    def weigh(self, name: str, picture: npt.NDArray[np.uint8]) -> tuple[float, float]:
        """Return the log-likelihoods of "foreground" and "background"."""
        # A name is words: "<image>" in it would stand for one more picture.
        words = " ".join(re.split(r"[<>|\s]+", name)).strip()
        question = self._tokens(CONVERSATION.format(picture=self._place(), name=words))
        answers = [self._tokens(answer) for answer in ANSWERS]
        rows = [question + answer for answer in answers]
        length = max(map(len, rows))
        # What is padded behind the answer is never looked back at.
        tokens = torch.tensor([row + row[-1:] * (length - len(row)) for row in rows])
        is_text = torch.tensor(
            [[1] * len(row) + [0] * (length - len(row)) for row in rows]
        )
        side = self.model.config.vision_config.image_size
        pixels = self.preparation.pixels(picture, (side, side))
        pictures_of_all = pixels[None].expand(len(rows), -1, -1, -1, -1)
        device, dtype = self.model.device, self.model.dtype
        logits: Tensor = self.model(
            input_ids=tokens.to(device),
            attention_mask=is_text.to(device),
            pixel_values=pictures_of_all.to(device, dtype),
            use_cache=False,
        ).logits
        likely = logits[:, len(question) - 1 :].float().log_softmax(-1).cpu()
        near, far = (
            sum(float(likely[row, at, token]) for at, token in enumerate(answer))
            for row, answer in enumerate(answers)
        )
        return near, far

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return tokens

    def _place(self) -> str:
        """Return the text that stands for one picture that is not split."""
        config = self.model.config
        side = config.vision_config.image_size // config.vision_config.patch_size
        count = side * side // config.scale_factor**2
        return f"{FENCE}{WHOLE}{IMAGE * count}{FENCE}"


def shown(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return up to three frames in which the object is at least half its largest."""
    areas = mask.sum((1, 2))
    large = np.flatnonzero((areas > 0) & (2 * areas >= areas.max()))
    picks = np.linspace(0, len(large) - 1, min(len(large), SHOWN))
    return [int(large[round(at)]) for at in picks]


def outlined(
    frame: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """Return the frame (H, W, 3) with a red line around the mask (H, W)."""
    lines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    picture = np.ascontiguousarray(frame).copy()
    thickness = max(2, min(frame.shape[:2]) // 150)
    cv2.drawContours(picture, list(lines), -1, RED, thickness)
    return picture


@lru_cache(maxsize=1)
def load(folder: Path, device: torch.device) -> Judge:
    """Read the model from *folder*, once in a process; bfloat16 on a GPU."""
    what = places.JUDGE.what
    reading.check_type(folder, what, places.JUDGE.model_types)
    preparation = pictures.read(folder)
    tokenizer = reading.read_tokenizer(folder)
    kind = reading.library("transformers").AutoModelForImageTextToText
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    model = reading.read_model(kind, folder, what, dtype=dtype)
    _check_tokens(folder, tokenizer, model.config)
    return Judge(model.to(device), tokenizer, preparation)


def _check_tokens(folder: Path, tokenizer: Any, config: Any) -> None:
    """Raise WeightsError if the tokenizer belongs to another model."""
    path = folder / "tokenizer.json"
    absent: Sequence[str] = [
        token for token in SPECIAL if tokenizer.token_to_id(token) is None
    ]
    if absent:
        raise WeightsError(
            f"{path} has no token {', '.join(map(repr, absent))}, so it is not "
            "SmolVLM's; get it again"
        )
    known = config.text_config.vocab_size
    if (size := tokenizer.get_vocab_size()) > known:
        raise WeightsError(
            f"{path} has {size} tokens, but the model beside it knows {known}; "
            "get both from one place"
        )
    if tokenizer.token_to_id(IMAGE) != config.image_token_id:
        raise WeightsError(
            f"{path} has {IMAGE!r} as token {tokenizer.token_to_id(IMAGE)}, but the "
            f"model beside it as {config.image_token_id}; get both from one place"
        )
