"""What is lost between a branch and its file, and weights that are no branch's."""

import pytest
import torch
from torch import nn
from toy_branch import Slim, verdict

from worldweave import Weights
from worldweave.checkpoints import store
from worldweave.testing.checks import weights
from worldweave.testing.kit import Outcome
from worldweave.testing.subject import SMALL


class Forgets(Slim):
    """Lays a tensor on the CPU whatever torch is told: built anew it is another."""

    def __init__(self, config):
        super().__init__(config)
        self.phase = torch.rand(1, device="cpu")

    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint + self.phase.to(hint))


class NotPersistent(Slim):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("phase", torch.rand(1), persistent=False)

    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint + self.phase)


class Late(Slim):
    def seen(self, latent, step, hint):
        if not hasattr(self, "late"):
            self.late = nn.Parameter(torch.rand(1, dtype=latent.dtype))
        return super().seen(latent, step, hint + self.late)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Forgets, "in torch.float32, it returns something else"),
        (NotPersistent, "keeps buffer 'phase' out of its state dict"),
        (Late, "cannot be read back: what it saved does not fit"),
    ],
)
def test_what_is_lost_in_a_file_is_told(kind, said):
    outcome, says, mend = verdict(weights.weights_round_trip, kind)
    assert outcome is Outcome.FAILED
    assert said in says
    assert "register_buffer" in mend


class Kept(Slim):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("phase", torch.rand(1))

    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint + self.phase)


def test_a_buffer_that_is_saved_comes_back():
    outcome, says, _ = verdict(weights.weights_round_trip, Kept)
    assert outcome is Outcome.PASSED, says


# Weights that are shipped


def shipped(tmp_path, base="tiny-world", *, config=None, uri=None):
    from worldweave_plugins.tinyworld.config import CONFIG

    path = tmp_path / "own.safetensors"
    store.write(path, Slim(config or CONFIG).state_dict())
    return [Weights(base=base, uri=uri or str(path), license="MIT")]


def test_weights_for_their_base_pass(tmp_path):
    check = weights.weights_fit_their_base
    outcome, says, _ = verdict(check, Slim, weights=shipped(tmp_path))
    assert outcome is Outcome.PASSED, says


def test_weights_of_another_base_are_told(tmp_path):
    check = weights.weights_fit_their_base
    found = verdict(check, Slim, weights=shipped(tmp_path, config=SMALL))
    assert found[0] is Outcome.FAILED
    assert "do not fit tiny-world" in found[1]
    assert "worldweave train own --base tiny-world" in found[2]


@pytest.mark.parametrize(
    ("content", "says", "mend"),
    [
        (b"no tensors", "cannot be read", "that worldweave train has written, whole"),
        (None, "do not fit tiny-world", "they are no weights of this branch"),
    ],
)
def test_a_file_that_is_no_branch_is_told_as_that(tmp_path, content, says, mend):
    path = tmp_path / "own.safetensors"
    if content is None:
        store.write(path, {"classifier": torch.zeros(3)})
    else:
        path.write_bytes(content)
    given = [Weights(base="tiny-world", uri=str(path), license="MIT")]
    found = verdict(weights.weights_fit_their_base, Slim, weights=given)
    assert found[0] is Outcome.FAILED
    assert says in found[1]
    assert mend in found[2]


@pytest.mark.parametrize(
    ("base", "uri", "reason"),
    [
        ("nowhere", None, "no plugin supplies the base 'nowhere'"),
        ("tiny-world", "gone.safetensors", "there is no file 'gone.safetensors'"),
        ("tiny-world", "moon://there", "'moon://there' has to be fetched"),
    ],
)
def test_weights_that_cannot_be_had_are_left_out(tmp_path, base, uri, reason):
    check = weights.weights_fit_their_base
    given = shipped(tmp_path, base, uri=uri)
    outcome, says, _ = verdict(check, Slim, weights=given)
    assert outcome is Outcome.LEFT_OUT
    assert reason in says
    # Beside others that can be had they keep nobody from looking.
    bad = shipped(tmp_path, config=SMALL)
    assert verdict(check, Slim, weights=[*given, *bad])[0] is Outcome.FAILED
