"""A view: the same tensors and the same result, in modules of its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from worldweave.parallel.view import view_of


class Halves(nn.Module):
    """A module with all there can be: children twice and None, buffers, attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = self.first
        self.rest = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.ReLU())])
        self.nothing = None
        self.register_module("never", None)
        self.register_buffer("offset", torch.arange(4.0), persistent=False)
        self.times = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.rest[0](self.again(self.first(x))) * self.times + self.offset


@pytest.fixture
def model() -> Halves:
    torch.manual_seed(0)
    return Halves()


def test_a_view_computes_the_same_with_the_same_tensors(model: Halves) -> None:
    view, x = view_of(model), torch.randn(3, 4)
    assert type(view) is Halves
    assert torch.equal(view(x), model(x))
    ours, theirs = dict(view.named_parameters()), dict(model.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(ours[name] is theirs[name] for name in ours)
    assert view.offset is model.offset
    assert view.state_dict().keys() == model.state_dict().keys()


def test_every_module_of_a_view_is_its_own(model: Halves) -> None:
    view = view_of(model)
    originals = {id(module) for module in model.modules()}
    assert not originals & {id(module) for module in view.modules()}
    assert [name for name, _ in view.named_modules()] == [
        name for name, _ in model.named_modules()
    ]


def test_what_is_put_into_a_view_is_not_in_the_original(model: Halves) -> None:
    x = torch.randn(3, 4)
    before = model(x)
    view = view_of(model)
    view.rest[0][0] = nn.Identity()
    view.set_submodule("rest.0.1", nn.Identity())
    view.times = 3
    view.register_forward_hook(lambda *_: torch.zeros(()))
    view.first.register_forward_pre_hook(lambda *_: torch.zeros(()))
    view.add_module("more", nn.Identity())
    assert torch.equal(model(x), before)
    assert not hasattr(model, "more")
    assert isinstance(model.rest[0][0], nn.Linear)


def test_a_module_in_two_places_stays_one(model: Halves) -> None:
    view = view_of(model)
    assert view.first is view.again


def test_weights_that_are_read_later_are_in_the_view_too(model: Halves) -> None:
    view, x = view_of(model), torch.randn(3, 4)
    other = Halves()
    model.load_state_dict(other.state_dict())
    assert torch.equal(view(x), other(x))


def test_a_view_moves_with_its_original(model: Halves) -> None:
    view, x = view_of(model), torch.randn(3, 4, dtype=torch.float64)
    model.double()
    assert view.offset.dtype == torch.float64
    assert torch.equal(view(x), model(x))


def test_swapped_modules_stand_as_they_are_given(model: Halves) -> None:
    seen: list[str] = []

    def swap(path: str, module: nn.Module) -> nn.Module | None:
        seen.append(path)
        return nn.Identity() if isinstance(module, nn.Sequential) else None

    view = view_of(model, swap)
    # Neither a module twice nor what is inside a swapped one.
    assert seen == ["", "first", "rest", "rest.0"]
    assert isinstance(view.rest[0], nn.Identity)
    x = torch.randn(3, 4)
    linear = model.first
    assert torch.equal(view(x), linear(linear(x)) * 2 + model.offset)


def test_the_whole_can_be_swapped(model: Halves) -> None:
    other = nn.Identity()
    assert view_of(model, lambda *_: other) is other  # type: ignore[comparison-overlap]


def test_hooks_of_the_original_are_in_the_view(model: Halves) -> None:
    model.register_forward_hook(lambda _module, _args, out: out + 1)
    x = torch.randn(3, 4)
    assert torch.equal(view_of(model)(x), model(x))


def test_a_view_can_be_viewed(model: Halves) -> None:
    view = view_of(view_of(model))
    assert view.first.weight is model.first.weight


def test_a_module_compiled_in_place_is_viewed_as_it_was(model: Halves) -> None:
    model.rest.compile(backend="eager")
    view = view_of(model)
    assert view.rest._compiled_call_impl is None
    assert model.rest._compiled_call_impl is not None


def test_what_would_call_the_original_is_refused(model: Halves) -> None:
    model.rest[0].forward = model.rest[0].forward  # type: ignore[method-assign]
    with pytest.raises(
        ValueError, match=r"no view of rest\.0, a Sequential: its attribute 'forward'"
    ):
        view_of(model)
    with pytest.raises(ValueError, match="no view of the model, a OptimizedModule"):
        view_of(torch.compile(nn.ReLU(), backend="eager"))


class Remembers(nn.Linear):
    """A module that keeps a method of its own."""

    def keep(self) -> None:
        self.kept = self.reset_parameters


def test_a_method_kept_as_an_attribute_is_refused() -> None:
    module = Remembers(2, 2)
    assert view_of(module).weight is module.weight
    module.keep()
    with pytest.raises(ValueError, match="its attribute 'kept' calls it"):
        view_of(module)
