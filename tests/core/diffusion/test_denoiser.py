"""From a network to a guided prediction of the clean latent."""

import math

import pytest
import torch

from worldweave.diffusion.condition import GivenFrames
from worldweave.diffusion.denoiser import Denoiser
from worldweave.diffusion.edm import scaling

SHAPE = (2, 3, 4, 2, 2)
TEXT, PLAIN = torch.full((1, 1, 1), 2.0), torch.full((1, 1, 1), -1.0)


@pytest.fixture
def x():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def calls():
    """What the network was called with, text by text."""
    return []


@pytest.fixture
def network(calls):
    """A network whose answer depends on its input and its text."""

    def network(latent, c_noise, texts):
        calls.extend((latent, c_noise, text) for text in texts)
        return [latent.sin() * text.mean().to(latent.dtype) for text in texts]

    return network


def sigma(value):
    return torch.tensor(value)


def clean(x, level, text):
    """x0 without guidance, from the definition."""
    total = level**2 + 0.25
    output = (x / math.sqrt(total)).sin() * text.mean()
    return 0.25 / total * x + 0.5 * level / math.sqrt(total) * output


@pytest.mark.parametrize("level", [0.002, 0.7, 80.0])
def test_the_prediction_is_skip_x_plus_out_f(network, calls, x, level):
    out = Denoiser(network=network, text=TEXT)(x, sigma(level))
    torch.testing.assert_close(out, clean(x, level, TEXT))
    ((_, c_noise, _),) = calls
    assert c_noise.tolist() == pytest.approx([0.25 * math.log(level)] * 2)


def test_guidance_moves_away_from_the_negative_text(network, x):
    denoiser = Denoiser(network=network, text=TEXT, negative_text=PLAIN, guidance=5.0)
    with_text, without = clean(x, 0.7, TEXT), clean(x, 0.7, PLAIN)
    torch.testing.assert_close(
        denoiser(x, sigma(0.7)),
        with_text + 5.0 * (with_text - without),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("negative", "guidance", "passes"),
    [(PLAIN, 5.0, 2), (PLAIN, 0.0, 1), (None, 5.0, 1)],
)
def test_guidance_costs_a_second_pass_only_where_it_does_something(
    network, calls, x, negative, guidance, passes
):
    Denoiser(network=network, text=TEXT, negative_text=negative, guidance=guidance)(
        x, sigma(1.0)
    )
    assert len(calls) == passes


def test_both_passes_differ_in_nothing_but_the_text(network, calls, x):
    given = GivenFrames(latent=-x, count=1, noise=torch.randn(SHAPE))
    Denoiser(
        network=network, text=TEXT, negative_text=PLAIN, guidance=1.0, given=given
    )(x, sigma(1.0))
    (one, one_noise, one_text), (other, other_noise, other_text) = calls
    assert torch.equal(one, other)
    assert torch.equal(one_noise, other_noise)
    assert torch.equal(one_text, TEXT)
    assert torch.equal(other_text, PLAIN)


def test_the_network_computes_in_its_own_dtype_and_the_rest_in_float32(
    network, calls, x
):
    out = Denoiser(network=network, text=TEXT, dtype=torch.bfloat16)(x, sigma(0.7))
    ((latent, c_noise, text),) = calls
    assert latent.dtype == text.dtype == torch.bfloat16
    # In bfloat16 neighbouring noise levels would share a label.
    assert c_noise.dtype == torch.float32
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, clean(x, 0.7, TEXT), rtol=0.02, atol=0.02)


def test_the_last_touch_sees_the_guided_prediction(network, x):
    plain = Denoiser(network=network, text=TEXT, negative_text=PLAIN, guidance=2.0)
    doubled = Denoiser(
        network=network,
        text=TEXT,
        negative_text=PLAIN,
        guidance=2.0,
        finish=lambda x0: 2 * x0,
    )
    assert torch.equal(doubled(x, sigma(1.0)), 2 * plain(x, sigma(1.0)))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_given_frames_come_out_as_they_are_even_under_guidance(network, x, count):
    latent = torch.randn(SHAPE)
    given = GivenFrames(latent=latent, count=count, noise=torch.randn(SHAPE))
    denoiser = Denoiser(
        network=network, text=TEXT, negative_text=PLAIN, guidance=5.0, given=given
    )
    out = denoiser(x, sigma(3.0))
    assert torch.equal(out[:, :, :count], latent[:, :, :count])
    free = Denoiser(network=network, text=TEXT, negative_text=PLAIN, guidance=5.0)
    assert torch.equal(out[:, :, count:], free(x, sigma(3.0))[:, :, count:])


def test_the_network_sees_given_frames_as_if_at_their_own_noise_level(
    network, calls, x
):
    latent, noise = torch.randn(2, *SHAPE)
    given = GivenFrames(latent=latent, count=2, noise=noise, augment_sigma=0.1)
    Denoiser(network=network, text=TEXT, given=given)(x, sigma(9.0))
    ((seen, _, _),) = calls
    wanted = (latent + 0.1 * noise) / math.sqrt(0.1**2 + 0.25)
    torch.testing.assert_close(seen[:, :, :2], wanted[:, :, :2])
    torch.testing.assert_close(seen[:, :, 2:], x[:, :, 2:] / math.sqrt(81.25))


@pytest.mark.parametrize("level", [0.05, 0.1])
def test_below_the_noise_of_given_frames_the_input_is_left_alone(
    network, calls, x, level
):
    latent = torch.randn(SHAPE)
    given = GivenFrames(
        latent=latent, count=2, noise=torch.randn(SHAPE), augment_sigma=0.1
    )
    out = Denoiser(network=network, text=TEXT, given=given)(x, sigma(level))
    ((seen, _, _),) = calls
    torch.testing.assert_close(seen, x * scaling(sigma(level)).input)
    assert torch.equal(out[:, :, :2], latent[:, :, :2])


def test_frames_stay_given_after_a_level_below_their_noise(network, calls, x):
    # The released code forgets them for good there.
    given = GivenFrames(latent=-x, count=1, noise=torch.zeros(SHAPE), augment_sigma=0.1)
    denoiser = Denoiser(network=network, text=TEXT, given=given)
    for level in (1.0, 0.05, 1.0):
        denoiser(x, sigma(level))
    assert torch.equal(calls[0][0], calls[2][0])


def test_no_given_frames_change_nothing(network, calls, x):
    given = GivenFrames(latent=-x, count=0, noise=torch.randn(SHAPE))
    out = Denoiser(network=network, text=TEXT, given=given)(x, sigma(1.0))
    assert torch.equal(out, Denoiser(network=network, text=TEXT)(x, sigma(1.0)))
    assert torch.equal(calls[0][0], calls[1][0])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_mask_has_ones_on_given_frames(x, count):
    mask = GivenFrames(latent=x, count=count, noise=x).mask()
    assert mask.shape == (2, 1, 4, 2, 2)
    assert mask[:, :, :count].eq(1).all()
    assert not mask[:, :, count:].any()
