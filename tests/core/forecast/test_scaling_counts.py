"""The model of scaling computes what the real modules do, counted on them."""

import pytest
import torch

from worldweave.forecast.cost import evaluation
from worldweave_kernels import roofline
from worldweave_kernels.bench import scaling_figures
from worldweave_plugins.cosmos.config import COSMOS_7B
from worldweave_plugins.cosmos.cost import cost


@pytest.mark.parametrize("branches", [0, 4])
def test_an_evaluation_of_the_7b_has_the_operations_that_are_shared(catalog, branches):
    names = ("depth", "edge", "seg", "vis")[:branches]
    one = evaluation(
        COSMOS_7B,
        {name: catalog.find(name) for name in names},
        scaling_figures.Work().latent[1:],
        text_tokens=512,
        dtype=torch.bfloat16,
    )
    counted = one.base_flops + sum(one.branch_flops.values())
    assert roofline.forward(branches) == pytest.approx(counted, rel=0.001)
    assert scaling_figures.Work().latent_bytes == 4 * one.latent_values


def test_autoencoder_and_text_encoder_are_the_official_ones():
    told = cost(121, 704, 1280)
    assert told.encode_flops == scaling_figures.ENCODE
    assert told.decode_flops == scaling_figures.DECODE
    assert told.text_flops == scaling_figures.TEXT
    assert scaling_figures.around_flops(scaling_figures.Work(branches=2)) == (
        2 * told.encode_flops + told.decode_flops,
        2 * told.text_flops,
    )
