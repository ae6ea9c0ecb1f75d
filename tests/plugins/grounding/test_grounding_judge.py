"""A SmolVLM is shown each object with a red outline, and two answers are weighed."""

import jinja2
import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText
from transformers.models.smolvlm import processing_smolvlm

from worldweave_plugins.grounding.judge import (
    ANSWERS,
    CONVERSATION,
    Judge,
    foreground,
    load,
    outlined,
    shown,
)

CPU = torch.device("cpu")


@pytest.fixture
def judge(models_folder):
    return load(models_folder / "vlm", CPU)


@pytest.fixture
def mask(video):
    mask = np.zeros(video.shape[:3], bool)
    for at in range(len(mask)):
        mask[at, 20:35, 5 + 6 * at : 25 + 6 * at] = True
    return mask


class Opinion(torch.nn.Module):
    """Says "foreground" the more likely the redder the picture is."""

    device, dtype = CPU, torch.float32

    def __init__(self, real, tokenizer, sign):
        super().__init__()
        self.config, self.tokenizer, self.sign = real.config, tokenizer, sign
        self.asked = []

    def forward(self, input_ids, attention_mask, pixel_values, use_cache):
        self.asked.append((input_ids, attention_mask, pixel_values))
        logits = torch.zeros(*input_ids.shape, self.tokenizer.get_vocab_size())
        red = pixel_values[:, 0, 0].mean() - pixel_values[:, 0, 1:].mean()
        for row, answer in enumerate(ANSWERS):
            first = self.tokenizer.encode(answer, add_special_tokens=False).ids[0]
            logits[..., first] += self.sign * red * (1 - 2 * row)
        return type("Output", (), {"logits": logits})


@pytest.fixture
def asking(judge):
    def make(sign=1.0):
        opinion = Opinion(judge.model, judge.tokenizer, sign)
        return Judge(opinion, judge.tokenizer, judge.preparation)

    return make


@pytest.mark.parametrize(
    ("name", "read"),
    [("a car", "a car"), ("a <image>  {name}<|im_start|>", "a image {name} im_start")],
)
@pytest.mark.parametrize("folder", ["models_folder", "newer_folder"])
def test_likelihoods_are_those_of_the_model_alone(request, folder, video, name, read):
    folder = request.getfixturevalue(folder) / "vlm"
    judge = load(folder, CPU)
    near, far = judge.weigh(name, video[0])
    model = AutoModelForImageTextToText.from_pretrained(folder)
    picture = "<fake_token_around_image><global-img>" + "<image>" * 16
    picture += "<fake_token_around_image>"
    question = CONVERSATION.format(picture=picture, name=read)
    for answer, ours in zip(ANSWERS, (near, far), strict=True):
        tokens = judge.tokenizer.encode(question + answer, add_special_tokens=False)
        short = judge.tokenizer.encode(question, add_special_tokens=False)
        ids = torch.tensor([tokens.ids])
        with torch.no_grad():
            likely = model(
                input_ids=ids,
                pixel_values=judge.preparation.pixels(video[0], (32, 32))[None],
            ).logits.log_softmax(-1)[0]
        start = len(short.ids)
        expected = sum(
            float(likely[at - 1, ids[0, at]]) for at in range(start, ids.shape[1])
        )
        assert ours == pytest.approx(expected, abs=1e-3)


def test_the_question_is_laid_out_as_the_model_was_trained(judge):
    question = CONVERSATION.format(picture="<image>", name="a car")
    text = question.removeprefix("<|im_start|>User:<image>").partition("<end")[0]
    content = [{"type": "image"}, {"type": "text", "text": text}]
    rendered = jinja2.Template(processing_smolvlm.DEFAULT_CHAT_TEMPLATE).render(
        messages=[{"role": "user", "content": content}], add_generation_prompt=True
    )
    assert question == rendered
    names = ("<fake_token_around_image>", "<image>", "<global-img>")
    fence, image, whole = names
    place = processing_smolvlm.get_image_prompt_string(0, 0, 16, fence, image, whole)
    assert judge._place() == place


def test_the_picture_decides(asking, video, mask):
    red, blue = video.copy(), video.copy()
    red[...] = (255, 0, 0)
    blue[...] = (0, 0, 255)
    assert asking().is_foreground("a car", red, mask)
    assert not asking().is_foreground("a car", blue, mask)
    assert not asking(-1.0).is_foreground("a car", red, mask)


def test_the_outline_reaches_the_model(asking, video, mask):
    black = np.zeros_like(video)
    judge = asking()
    judge.is_foreground("a car", black, mask)
    for _, _, pixels in judge.model.asked:
        assert (pixels[:, 0, 0] > pixels[:, 0, 1] + 0.5).any()


def test_up_to_three_frames_are_shown(asking, video, mask):
    judge = asking()
    judge.is_foreground("a car", video, mask)
    assert len(judge.model.asked) == 3


def test_an_object_that_is_nowhere_is_background_unasked(asking, video, mask):
    judge = asking()
    assert not judge.is_foreground("a car", video, np.zeros_like(mask))
    assert judge.model.asked == []


def test_frames_where_the_object_is_large_are_shown(mask):
    assert shown(mask) == [0, 2, 4]
    mask[:3] = False
    mask[3, :, 28:] = False
    assert shown(mask) == [4]


def test_the_outline_is_red_and_the_inside_untouched(video, mask):
    before = video.copy()
    picture = outlined(video[1], mask[1])
    np.testing.assert_array_equal(video, before)
    changed = (picture != video[1]).any(-1)
    assert (picture[changed] == (255, 0, 0)).all()
    assert not changed[24:31, 16:26].any()
    assert not changed[:15].any()
    assert changed[20, 12:30].all()


def test_the_real_model_tells_of_each_object(here, video, mask):
    told = foreground(video, {"a car": mask, "nothing": np.zeros_like(mask)})
    assert list(told) == ["a car", "nothing"]
    assert told["nothing"] is False
    assert isinstance(told["a car"], bool)
    assert foreground(video, {"a car": mask})["a car"] == told["a car"]
