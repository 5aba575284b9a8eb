"""Adapters merged into the weights that they adapt."""

from __future__ import annotations

import warnings
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from fusionapp.adapters.huggingface.tuning.merging import merged_weight

pytest.importorskip("peft", reason="the extra `tune` is not installed")


def adapted(seed: int, rank: int, alpha: float, **ways: bool) -> Any:
    """A linear layer, 5 to 7, with an adapter of random numbers."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=cast(int, alpha), target_modules=["0"], **ways)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT wonders at a model without a configuration
        model: Any = get_peft_model(cast(Any, nn.Sequential(nn.Linear(5, 7))), config).eval()
    layer = model.base_model.model[0]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    rank=st.integers(1, 6),
    alpha=st.floats(0.5, 64),
    rslora=st.booleans(),
    dora=st.booleans(),
)
def test_a_merged_layer_computes_what_the_adapted_one_does(
    seed: int, rank: int, alpha: float, rslora: bool, dora: bool
) -> None:
    layer = adapted(seed, rank, alpha, use_rslora=rslora, use_dora=dora)
    inputs = torch.randn(3, 5)
    with torch.no_grad():
        merged = merged_weight(layer, layer.base_layer.weight)
        found = inputs @ merged.T + layer.base_layer.bias
        torch.testing.assert_close(found, layer(inputs), rtol=1e-3, atol=1e-3)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), rank=st.integers(1, 6))
def test_rows_have_the_magnitudes_that_dora_trained(seed: int, rank: int) -> None:
    layer = adapted(seed, rank, 8.0, use_dora=True)
    with torch.no_grad():
        lengths = merged_weight(layer, layer.base_layer.weight).norm(dim=1)
    torch.testing.assert_close(lengths, layer.lora_magnitude_vector["default"].weight.abs())
