"""What the plugin says about the official bases."""

import subprocess
import sys

import pytest
import torch

from worldweave import DiT, discover
from worldweave_plugins.cosmos import worldweave_bases

BASES = {base.name: base for base in worldweave_bases()}


@pytest.fixture(params=BASES)
def base(request):
    return BASES[request.param]


def test_both_bases_are_found_where_worldweave_is_installed(base):
    assert discover().find_base(base.name) == base


def test_listing_the_bases_imports_nothing_heavy():
    program = (
        "import sys, worldweave_plugins.cosmos as plugin\n"
        "plugin.worldweave_bases()\n"
        "heavy = {'torch', 'numpy', 'diffusers', 'transformers', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_path_a_base_names_can_be_imported(base):
    assert base.config.load().blocks == 28
    assert callable(base.autoencoder.load())
    assert callable(base.text_encoder.load())


def test_a_base_names_each_part_once(base):
    assert [w.part for w in base.weights] == ["dit", "autoencoder", "text_encoder"]
    assert {w.base for w in base.weights} == {base.name}


def test_the_size_of_the_dit_is_two_bytes_a_parameter(base):
    with torch.device("meta"):
        dit = DiT(base.config.load())
    assert base.weights[0].bytes == 2 * sum(p.numel() for p in dit.parameters())


def test_every_size_is_a_whole_number_of_tokens_with_a_position(base):
    config = base.config.load()
    for size in base.sizes:
        for pixels, patch, most in zip(
            size, config.patch[1:], config.max_size[1:], strict=True
        ):
            assert pixels % (8 * patch) == 0
            assert pixels // 8 <= most
    assert 1 + (base.chunk_frames - 1) // 8 == 16 <= config.max_size[0]
