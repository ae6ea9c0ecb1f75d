"""Base and branches together: summed by maps, frozen, compiled, without memory."""

import attrs
import pytest
import torch

from worldweave.model.branch import CosmosBranch
from worldweave.model.dit import DiT
from worldweave.model.weave import weave


@pytest.fixture
def second(config, alive):
    return alive(CosmosBranch(config), 7)


@pytest.fixture
def all_of_it(base, branch, second, latent, step, hint, maps):
    return {
        "base": base,
        "branches": {"edge": branch, "vis": second},
        "latent": latent,
        "step": step,
        "hints": {"edge": hint, "vis": -hint},
        "maps": {"edge": 0.7 * maps, "vis": 0.3 * (1 - maps)},
    }


def test_every_branch_adds_its_residuals_by_its_own_map(all_of_it):
    base, branches, latent, step, hints, maps = all_of_it.values()
    residuals = {n: branches[n](latent, step, hints[n]) for n in branches}
    blended = [
        sum(maps[n].unsqueeze(-1) * residuals[n][i] for n in branches) for i in range(3)
    ]
    wanted = base(latent, step, [blended], [torch.ones_like(maps["edge"])])
    torch.testing.assert_close(weave(**all_of_it), wanted, rtol=1e-5, atol=1e-5)


def test_no_branch_is_the_base_alone(base, latent, step):
    assert torch.equal(weave(base, {}, latent, step, {}, {}), base(latent, step))


def test_a_fresh_branch_changes_no_bit(config, base, latent, step, hint, maps):
    out = weave(
        base, {"new": CosmosBranch(config)}, latent, step, {"new": hint}, {"new": maps}
    )
    assert torch.equal(out, base(latent, step))


def test_a_branch_with_map_zero_changes_no_bit(all_of_it):
    all_of_it["maps"]["vis"] = torch.zeros_like(all_of_it["maps"]["vis"])
    both = weave(**all_of_it)
    only = {"edge": all_of_it["branches"]["edge"]}
    assert torch.equal(weave(**all_of_it | {"branches": only}), both)


def test_a_map_of_zeros_somewhere_leaves_those_residuals_out(all_of_it):
    base, branches, latent, step, hints, maps = all_of_it.values()
    half = maps["edge"].clone()
    half[:, :, :, 1:] = 0.0
    (residual, *_) = branches["edge"](latent, step, hints["edge"])
    cut = residual.clone()
    cut[:, :, :, 1:] = 0.0
    assert torch.equal(
        base(latent, step, [[residual]], [half]), base(latent, step, [[cut]], [half])
    )


def test_one_hint_and_one_map_serve_the_batch(all_of_it):
    one = {k: {n: v[:1] for n, v in all_of_it[k].items()} for k in ("hints", "maps")}
    each = {k: {n: v.expand(2, *v.shape[1:]) for n, v in one[k].items()} for k in one}
    assert torch.equal(weave(**all_of_it | one), weave(**all_of_it | each))


def test_training_a_branch_leaves_no_gradient_in_the_base(all_of_it):
    base, branches = all_of_it["base"].requires_grad_(False), all_of_it["branches"]
    weave(**all_of_it).square().mean().backward()
    assert all(p.grad is None for p in base.parameters())
    for branch in branches.values():
        idle = [
            name
            for name, p in branch.named_parameters()
            if p.requires_grad and (p.grad is None or not p.grad.any())
        ]
        assert idle == []


def test_a_pass_leaves_every_module_as_it_was(all_of_it):
    networks = [all_of_it["base"], *all_of_it["branches"].values()]
    modules = [m for network in networks for m in network.modules()]

    def picture():
        tensors = [t for n in networks for t in (*n.parameters(), *n.buffers())]
        return (
            [{name: id(value) for name, value in vars(m).items()} for m in modules],
            [[*m._parameters, *m._buffers, *m._modules] for m in modules],
            [t.detach().numpy().tobytes() for t in tensors],
        )

    before = picture()
    with torch.no_grad():
        first, second = weave(**all_of_it), weave(**all_of_it)
    assert picture() == before
    assert torch.equal(first, second)


def test_the_whole_is_traced_without_a_break_and_equals_eager(
    config, alive, latent, step, hint, maps
):
    # Tracing takes seconds per block, so there is one of each kind. What Inductor makes
    # of the trace is torch's affair, and took the longest of all tests.
    short = attrs.evolve(config, blocks=2, control_blocks=1)
    base = alive(DiT(short))
    branches = {n: alive(CosmosBranch(short), i) for i, n in enumerate(("a", "b"))}
    hints, weights = {"a": hint, "b": -hint}, {"a": maps, "b": 1 - maps}

    @torch.compile(fullgraph=True, backend="aot_eager")
    def compiled(latent, step, hints, maps):
        return weave(base, branches, latent, step, hints, maps)

    with torch.no_grad():
        wanted = weave(base, branches, latent, step, hints, weights)
        out = compiled(latent, step, hints, weights)
    torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-4)
