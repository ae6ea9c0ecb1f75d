"""Official files become ours: every tensor, bit for bit, or nothing."""

import io
import json
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from worldweave.checkpoints import layout, store
from worldweave.checkpoints.convert import convert
from worldweave.checkpoints.official import official_name, our_name
from worldweave.model.branch import CosmosBranch
from worldweave.model.dit import DiT
from worldweave.model.step import Step

BASE, NET = "base_model.net.", "net."


def data(path):
    """All tensor bytes with their places, without metadata."""
    header = store.header(path)
    first = min(entry.start for entry in header.entries.values())
    places = {n: (e.start - first, e.dtype, e.shape) for n, e in header.entries.items()}
    return places, path.read_bytes()[first:]


def bare(state, prefix):
    return {key.removeprefix(prefix): tensor for key, tensor in state.items()}


def prefixed(state, old, new):
    return {f"{new}{key}": tensor for key, tensor in bare(state, old).items()}


@pytest.mark.parametrize(
    ("stem", "prefix", "kind"),
    [("base_model", BASE, "dit"), ("edge_control", NET, "branch")],
)
def test_a_golden_file_keeps_every_bit(golden, out, stem, prefix, kind):
    report = convert(golden / f"{stem}.pt", out)
    source = torch.load(golden / f"{stem}.pt", weights_only=True)
    assert report.ignored == (f"{prefix}pos_embedder.seq",)
    del source[f"{prefix}pos_embedder.seq"]
    found = load_file(out)
    assert found.keys() == {our_name(key.removeprefix(prefix)) for key in source}
    for name, tensor in found.items():
        original = source[prefix + official_name(name)]
        assert tensor.dtype == original.dtype
        assert torch.equal(tensor.view(torch.uint8), original.view(torch.uint8))
    (written,) = report.written
    assert written.kind == kind
    assert written.nbytes == out.stat().st_size
    assert written.parameters == sum(tensor.numel() for tensor in found.values())


def test_the_converted_base_and_branch_compute_what_the_official_code_computed(
    golden, golden_config, out
):
    with torch.device("meta"):
        base, branch = DiT(golden_config), CosmosBranch(golden_config)
    for module, stem in ((base, "base_model"), (branch, "edge_control")):
        path = out.with_name(f"{stem}.safetensors")
        convert(golden / f"{stem}.pt", path)
        store.load(module, path, device="cpu", dtype=torch.float32, what=stem)
    numbers = store.read(golden / "golden.safetensors")
    step = Step(
        c_noise=numbers["c_noise"],
        text=numbers["text"],
        fps=24.0,
        condition_mask=numbers["condition_mask"],
    )
    latent = numbers["x"]
    t, h, w = latent.shape[-3:]
    weight = torch.full((1, t, h // 2, w // 2), 0.7)
    with torch.no_grad():
        residuals = branch(latent, step, numbers["hint.edge"])
        alone = base(latent, step)
        steered = base(latent, step, [residuals], [weight])
    torch.testing.assert_close(alone, numbers["out.base"], atol=1e-5, rtol=0)
    torch.testing.assert_close(steered, numbers["out.single"], atol=1e-5, rtol=0)


def test_the_metadata_tell_where_a_file_comes_from_and_its_sizes(golden, out):
    report = convert(golden / "edge_control.pt", out)
    metadata = store.header(out).metadata
    assert metadata["kind"] == "branch"
    assert metadata["source"] == "edge_control.pt"
    assert metadata["source_sha256"] == report.sha256
    assert metadata["format"] == "1"
    config = json.loads(metadata["config"])
    assert config["hidden"] == 48
    assert config["hint_widths"] == [16, 16, 32, 32, 96, 96, 256]
    assert "blocks" not in config


def test_the_sha256_is_that_of_the_source(golden, out):
    import hashlib

    source = golden / "base_model.pt"
    expected = hashlib.sha256(source.read_bytes()).hexdigest()
    assert convert(source, out).sha256 == expected


def test_the_inferred_sizes_are_the_golden_ones(golden, golden_config, out):
    (written,) = convert(golden / "base_model.pt", out).written
    for name, value in written.config.items():
        assert getattr(golden_config, name) == value
    assert {"hidden", "heads", "blocks", "condition_mask"} <= written.config.keys()


WRAPPERS = {
    "model": lambda state: {"model": state, "ema": None},
    "ema": lambda state: {
        "ema": {key.replace(".", "-"): value for key, value in state.items()},
        "model": {key: torch.zeros_like(value) for key, value in state.items()},
        "iteration": 3,
    },
    "net.": lambda state: prefixed(state, BASE, "net."),
    "base_model.": lambda state: prefixed(state, BASE, "base_model."),
    "bare": lambda state: bare(state, BASE),
    "leftovers": lambda state: {
        **state,
        "base_model.logvar.0.freqs": torch.ones(128),
        "base_model.net.blocks.block0.blocks.0.block.attn.attn_op._extra_state": (
            io.BytesIO(b"any")
        ),
        "base_model.net._extra_state": torch.ones(3, dtype=torch.uint8),
    },
    "backwards": lambda state: dict(reversed(state.items())),
    "parameters": lambda state: {
        key: torch.nn.Parameter(value) for key, value in state.items()
    },
    "transposed twice": lambda state: {
        key: value.t().contiguous().t() for key, value in state.items()
    },
    "one storage": lambda state: one_storage(state),
}


def one_storage(state):
    flat = torch.cat([tensor.reshape(-1) for tensor in state.values()])
    sizes = [tensor.numel() for tensor in state.values()]
    pieces = zip(state.items(), flat.split(sizes), strict=True)
    return {key: piece.view(tensor.shape) for (key, tensor), piece in pieces}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_form_of_a_file_gives_the_same_tensors(
    golden, official, base_state, out, wrapper
):
    convert(golden / "base_model.pt", out)
    other = out.with_name("other.safetensors")
    convert(official(WRAPPERS[wrapper](base_state)), other)
    assert data(other) == data(out)


def test_a_file_from_before_the_zip_format_is_read(golden, official, base_state, out):
    convert(golden / "base_model.pt", out)
    other = out.with_name("other.safetensors")
    convert(official(base_state, _use_new_zipfile_serialization=False), other)
    assert data(other) == data(out)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_repackaged_archive_is_read(golden, tmp_path, out, method):
    convert(golden / "base_model.pt", out)
    again = tmp_path / "again.pt"
    with (
        zipfile.ZipFile(golden / "base_model.pt") as old,
        zipfile.ZipFile(again, "w", method) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    other = out.with_name("other.safetensors")
    convert(again, other)
    assert data(other) == data(out)


@pytest.mark.parametrize("outer", [None, "model"])
def test_a_distilled_file_gives_two(
    golden, official, base_state, edge_state, out, outer
):
    both = prefixed(base_state, BASE, "net.base_model.net.")
    both |= prefixed(edge_state, NET, "net.net_ctrl.")
    report = convert(official(both if outer is None else {outer: both}), out)
    dit, branch = (out.with_name(f"x.{kind}.safetensors") for kind in ("dit", "branch"))
    assert [written.path for written in report.written] == [dit, branch]
    assert sorted(out.parent.iterdir()) == sorted([dit, branch])
    convert(golden / "base_model.pt", out)
    assert data(dit) == data(out)
    convert(golden / "edge_control.pt", out, overwrite=True)
    assert data(branch) == data(out)
    assert store.header(branch).metadata["kind"] == "branch"


def test_a_training_checkpoint_with_base_and_branch_gives_two(
    official, base_state, edge_state, out
):
    report = convert(official({**base_state, **edge_state}), out)
    assert [written.kind for written in report.written] == ["dit", "branch"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_branch_is_cast_as_torch_casts(golden, edge_state, out, dtype):
    (written,) = convert(golden / "edge_control.pt", out, dtype).written
    assert written.dtypes == (str(dtype).removeprefix("torch."),)
    for name, tensor in store.read(out).items():
        assert torch.equal(tensor, edge_state[NET + official_name(name)].to(dtype))


def test_bf16_and_back_loses_nothing_of_bf16(golden, base_state, out):
    convert(golden / "base_model.pt", out, torch.float32)
    for name, tensor in store.read(out, dtype=torch.bfloat16).items():
        assert torch.equal(tensor, base_state[BASE + official_name(name)])


def test_progress_ends_with_every_byte(golden, out):
    seen = []
    convert(golden / "base_model.pt", out, progress=lambda *now: seen.append(now))
    done = [now for now, _ in seen]
    (total,) = {total for _, total in seen}
    assert done == sorted(done)
    assert (
        done[-1] == total == sum(e.nbytes for e in store.header(out).entries.values())
    )


def test_the_layout_of_a_converted_file_is_complete(golden, golden_config, out):
    convert(golden / "vis_control.pt", out)
    expected = layout.expected_shapes("branch", golden_config)
    assert store.header(out).shapes == dict(sorted(expected.items()))
