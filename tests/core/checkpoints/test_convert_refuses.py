"""What cannot be converted whole and safely is refused, and leaves nothing behind."""

import os

import pytest
import torch

from worldweave.checkpoints import store
from worldweave.checkpoints.convert import convert
from worldweave_registry.errors import WeightsError, WorldweaveError


def refusal(source, out):
    with pytest.raises(WorldweaveError) as error:
        convert(source, out)
    assert list(out.parent.iterdir()) == []
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"net.blocks.block0.blocks.2.block.layer3.weight": torch.ones(1)},
            "unknown key 'net.blocks.block0.blocks.2.block.layer3.weight'; "
            "closest is 'blocks.block0.blocks.2.block.layer",
        ),
        ({"net.affline_norm.weight": None}, "'affline_norm.weight' is missing"),
        ({"net.x_embedder.proj.1.weight": None}, "'x_embedder.proj.1.weight' is miss"),
        (
            {"net.affline_norm.weight": torch.ones(7)},
            "'net.affline_norm.weight' is (7,), expected (48,)",
        ),
        (
            {"net.zero_blocks.block3.bias": torch.ones(48)},
            "'net.zero_blocks.block3.bias' does not belong to a branch",
        ),
        (
            {"net.x_embedder.proj.1.weight": torch.ones(48, 96)},
            "takes 24 channels; expected 16 latent channels",
        ),
        ({"net.affline_norm.weight": 3}, "holds a int under 'net.affline_norm.weight'"),
        (
            {"net.affline_norm.weight": torch.ones(48).to_sparse()},
            "under 'net.affline_norm.weight', not a tensor",
        ),
    ],
)
def test_a_file_that_is_not_whole_is_refused(
    official, edge_state, out, change, message
):
    state = {k: v for k, v in (edge_state | change).items() if v is not None}
    source = official(state)
    refused = refusal(source, out)
    assert str(source) in refused
    assert message in refused


def test_a_gap_between_blocks_is_noticed(official, base_state, out):
    state = {k: v for k, v in base_state.items() if "blocks.block2." not in k}
    message = refusal(official(state), out)
    assert "'blocks.block2.blocks.0.block.attn.to_q.0.weight' is missing" in message
    assert message.endswith("and 15 more")


def test_one_rank_of_a_parallel_checkpoint_is_recognised(official, base_state, out):
    state = {
        key: value.chunk(2)[0] if "to_q.0" in key or "layer1" in key else value
        for key, value in base_state.items()
    }
    assert "Merge the ranks first" in refusal(official({"model": state}), out)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_wants_to_run_code_is_refused_and_not_run(
    official, edge_state, out, monkeypatch, tmp_path, zipped
):
    source = official(
        edge_state | {"net.x": Malicious()}, _use_new_zipfile_serialization=zipped
    )
    monkeypatch.chdir(tmp_path)
    assert "wants to run posix.mkdir" in refusal(source, out)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_source_is_refused(golden, tmp_path, out, share):
    content = (golden / "base_model.pt").read_bytes()
    source = tmp_path / "short.pt"
    source.write_bytes(content[: int(share * len(content))])
    message = refusal(source, out)
    assert "cut short" in message or "expected an official .pt file" in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.pt", b"<!doctype html><html>", "is a web page"),
        ("a.safetensors", b"\x02\0\0\0\0\0\0\0{}", "is safetensors already"),
        ("a.pt", b"just some text", "expected an official .pt file"),
    ],
)
def test_another_kind_of_source_is_named(tmp_path, out, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in refusal(tmp_path / name, out)


def test_a_missing_source_is_refused(tmp_path, out):
    assert "cannot read" in refusal(tmp_path / "none.pt", out)


def test_a_list_of_tensors_is_refused(official, out):
    assert "it holds a list; expected a dict" in refusal(official([torch.ones(1)]), out)


def test_an_existing_file_is_kept_unless_told_otherwise(golden, out):
    out.write_text("mine")
    with pytest.raises(WorldweaveError, match=r"exists; remove it or use --force"):
        convert(golden / "base_model.pt", out)
    assert out.read_text() == "mine"
    convert(golden / "base_model.pt", out, overwrite=True)
    assert store.header(out).metadata["kind"] == "dit"


def test_an_existing_half_of_a_pair_is_kept(official, base_state, edge_state, out):
    branch = out.with_name("x.branch.safetensors")
    branch.write_text("mine")
    with pytest.raises(WorldweaveError, match=r"x\.branch\.safetensors exists"):
        convert(official({**base_state, **edge_state}), out)
    assert list(out.parent.iterdir()) == [branch]


def test_the_source_is_never_overwritten(official, base_state):
    source = official(base_state, "x.safetensors")
    with pytest.raises(WorldweaveError, match="is the file to convert"):
        convert(source, source, overwrite=True)


def test_another_suffix_is_refused(golden, out):
    assert "should end in .safetensors" in refusal(
        golden / "base_model.pt", out.with_suffix(".pt")
    )


def test_an_interrupted_conversion_of_a_pair_leaves_nothing(
    official, base_state, edge_state, out
):
    source = official({**base_state, **edge_state})

    def stop(done, total):
        # The first network is complete by then, the second is not.
        if done > 0.9 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, out, progress=stop)
    assert list(out.parent.iterdir()) == []


def test_a_dtype_the_format_lacks_is_refused(official, edge_state, out):
    odd = torch.ones(48, dtype=torch.complex64)
    source = official(edge_state | {"net.affline_norm.weight": odd})
    assert "complex64, which cannot be stored" in refusal(source, out)


def test_a_refusal_is_a_weights_error(official, out):
    with pytest.raises(WeightsError):
        convert(official({"nothing": torch.ones(1)}), out)
