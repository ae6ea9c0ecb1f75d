"""Who computes: the argument says, then the environment, else the first that can."""

import pytest
import torch

import worldweave_kernels
from worldweave_kernels import BackendError, explain, norm_modulate, weighted_add
from worldweave_kernels.dispatch import (
    BACKENDS,
    ENVIRONMENT,
    Candidate,
    choose,
    triton_candidate,
)

BOTH = (Candidate("triton"), Candidate("reference"))


@pytest.fixture(autouse=True)
def _environment_says_nothing(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)


@pytest.fixture
def plain(monkeypatch):
    """A CPU without Triton's interpreter, as a user's."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    x = torch.ones(2, 3)
    return x, [x], [torch.ones(2)]


def test_the_preferred_backend_is_taken_and_says_so():
    assert str(choose("weighted_add", BOTH, "auto")) == (
        "weighted_add: triton, the preferred one"
    )


def test_what_comes_after_the_one_taken_is_not_examined():
    def candidates():
        yield Candidate("triton")
        raise AssertionError("examined")

    assert choose("weighted_add", candidates(), "auto").backend == "triton"


def test_what_was_passed_over_is_told_with_its_reason():
    first = Candidate("triton", "the tensors are on the CPU")
    choice = choose("weighted_add", (first, Candidate("reference")), "auto")
    assert choice.backend == "reference"
    assert str(choice).splitlines() == [
        "weighted_add: reference, the first that can",
        "  not triton: the tensors are on the CPU",
    ]


def test_a_backend_that_needs_asking_is_taken_when_asked_only():
    slow = (Candidate("triton", unasked="it is slow"), Candidate("reference"))
    assert choose("weighted_add", slow, "auto").backend == "reference"
    assert choose("weighted_add", slow, "triton").backend == "triton"


def test_what_is_asked_for_and_cannot_is_an_error_never_a_fallback():
    broken = (Candidate("triton", "triton is not installed"), Candidate("reference"))
    with pytest.raises(
        BackendError,
        match=r"weighted_add: backend=triton was asked for, but triton is not "
        r"installed; ask for another of triton, reference, or for none",
    ):
        choose("weighted_add", broken, "triton")


def test_an_unknown_backend_is_refused_with_those_that_exist():
    with pytest.raises(
        BackendError, match=r"has no backend 'cudnn' \(backend=cudnn\); it has triton,"
    ):
        choose("weighted_add", BOTH, "cudnn")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("reference", "reference"),
        ("weighted_add=reference", "reference"),
        ("attention=flash", "triton"),
        ("flash", "triton"),
        ("triton,weighted_add=reference", "reference"),
        ("weighted_add=reference,triton", "reference"),
        (" weighted_add=reference , attention=sdpa ", "reference"),
        ("", "triton"),
    ],
)
def test_the_environment_names_a_backend_for_all_or_for_some(monkeypatch, text, taken):
    monkeypatch.setenv(ENVIRONMENT, text)
    assert choose("weighted_add", BOTH, "auto").backend == taken


def test_the_argument_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "reference")
    choice = choose("weighted_add", BOTH, "triton")
    assert (choice.backend, choice.reason) == ("triton", "asked for by backend")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weighted=triton", "names the operation 'weighted'; there are weighted_add,"),
        ("attention=cuda", "names the backend 'cuda'; attention has fa4, fa3, cudnn"),
        ("fast", "names the backend 'fast'; there are triton, reference, fa4"),
    ],
)
def test_a_slip_in_the_environment_is_found(monkeypatch, text, message):
    monkeypatch.setenv(ENVIRONMENT, text)
    with pytest.raises(BackendError, match=message):
        choose("weighted_add", BOTH, "auto")


def test_a_cpu_takes_the_reference_and_explains_why(plain):
    assert str(explain(weighted_add, *plain)).splitlines() == [
        "weighted_add: reference, the first that can",
        "  not triton: the tensors are on the CPU",
    ]


def test_the_environment_reaches_the_operation(plain, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "triton")
    with pytest.raises(BackendError, match="WORLDWEAVE_KERNELS=triton was asked for"):
        weighted_add(*plain)


@pytest.fixture
def pretended_gpu(device):
    """Tensors made on "cuda" are there, without memory, on an H200."""
    from worldweave_kernels.aot.stand_in import _gpu

    with _gpu(90):
        yield torch.ones(2, device="cuda")


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("text", ["1", "true", "ON", "Yes", "y", "0", "no", "", "2"])
def test_the_interpreter_is_on_where_triton_says_so(monkeypatch, text):
    from triton import knobs

    monkeypatch.setenv("TRITON_INTERPRET", text)
    interpreted = triton_candidate(torch.ones(2)).obstacle is None
    assert interpreted == knobs.runtime.interpret


@pytest.mark.usefixtures("device")
def test_the_interpreter_is_never_taken_unasked(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    candidate = triton_candidate(torch.ones(2))
    assert candidate.obstacle is None
    assert candidate.unasked == "Triton's interpreter is for tests"


def test_nor_is_it_on_a_gpu(pretended_gpu, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    unasked = "Triton's interpreter is for tests"
    assert triton_candidate(pretended_gpu) == Candidate("triton", None, unasked)
    monkeypatch.delenv("TRITON_INTERPRET")
    assert triton_candidate(pretended_gpu) == Candidate("triton")


def test_a_gpu_that_is_not_from_nvidia_has_no_triton(pretended_gpu, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "7.0")
    candidate = triton_candidate(pretended_gpu)
    assert candidate.obstacle == "its sizes are for GPUs of NVIDIA"


def test_a_device_without_triton_says_so():
    candidate = triton_candidate(torch.ones(2, device="meta"))
    assert candidate.obstacle == "the tensors are on meta"


def test_an_operation_can_be_explained_by_name():
    x = torch.ones(1, 2, 3)
    assert explain("norm_modulate", x, x, x) == explain(norm_modulate, x, x, x)


def test_an_unknown_operation_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match="no operation 'softmax'; there are"):
        explain("softmax", torch.ones(2))


def test_every_operation_is_public_and_can_be_explained():
    for op in BACKENDS:
        assert callable(getattr(worldweave_kernels, op))
        assert BACKENDS[op][-1] == "reference"
