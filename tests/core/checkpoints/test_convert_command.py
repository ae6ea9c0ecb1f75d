"""worldweave convert, as a user types it."""

import subprocess
import sys

import pytest
import torch
import typer
from typer.testing import CliRunner

from worldweave.checkpoints import store
from worldweave.cli.convert import convert
from worldweave_registry.errors import WorldweaveError


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(convert)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


def test_it_prints_what_was_written(command, golden, tmp_path):
    out = tmp_path / "edge.safetensors"
    result = command(golden / "edge_control.pt", out, "--dtype", "bf16")
    assert result.exit_code == 0
    first, second, third = result.stdout.strip().splitlines()
    size = out.stat().st_size
    assert first == f"{out}: branch, 234,224 parameters, bfloat16, {size / 1000:.1f} kB"
    assert second == "keys ignored as they carry no weights: 1"
    assert third.endswith(" s")
    assert set(store.header(out).dtypes.values()) == {torch.bfloat16}


@pytest.mark.parametrize(
    ("option", "dtype"), [((), torch.bfloat16), (("--dtype", "fp32"), torch.float32)]
)
def test_the_number_format_is_the_sources_unless_asked(
    command, golden, tmp_path, option, dtype
):
    out = tmp_path / "x.safetensors"
    command(golden / "base_model.pt", out, *option)
    assert set(store.header(out).dtypes.values()) == {dtype}


def test_an_existing_file_needs_force(command, golden, tmp_path):
    out = tmp_path / "x.safetensors"
    out.write_text("mine")
    refused = command(golden / "base_model.pt", out)
    assert isinstance(refused.exception, WorldweaveError)
    assert refused.stdout == ""
    assert out.read_text() == "mine"
    assert command(golden / "base_model.pt", out, "--force").exit_code == 0
    assert store.header(out).metadata["kind"] == "dit"


def test_an_unknown_number_format_is_a_usage_error(command, golden, tmp_path):
    result = command(golden / "base_model.pt", tmp_path / "x", "--dtype", "fp8")
    assert result.exit_code == 2


def test_the_command_is_known_without_torch():
    code = "import sys, worldweave.cli.convert; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
