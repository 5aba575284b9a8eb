"""Weights in 8 and 4 bits, and layers spread over devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import TEXTS, save_tiny, tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.domain.errors import UsageError


def encode(encoder: HuggingFaceEncoder) -> NDArray[np.float32]:
    return np.asarray(encoder.encode(TEXTS, encoder.plan(len(TEXTS))).embeddings)[:, 0]


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (
        (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    )
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("quantization", "least"), [("int8", 0.98), ("nf4", 0.8)])
def test_quantised_weights_give_nearly_the_same_vectors(
    quantization: str, least: float, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `tune` is not installed")
    model = str(save_tiny("llama", tmp_path, dim=128))
    whole = HuggingFaceEncoder(model, dtype="float32", device="cpu")
    small = HuggingFaceEncoder(model, dtype="float32", device="cpu", quantization=quantization)

    found = encode(small)

    assert cosines(found, encode(whole)).min() > least
    assert not np.array_equal(found, encode(whole))
    assert small.identity != whole.identity


@pytest.mark.slow
def test_a_model_spread_over_the_devices_there_are_gives_the_same_vectors() -> None:
    pytest.importorskip("accelerate", reason="the extra `tune` is not installed")
    model = str(tiny_model("bert"))
    spread = HuggingFaceEncoder(model, dtype="float32", device="spread")

    found = encode(spread)

    np.testing.assert_allclose(
        found, encode(HuggingFaceEncoder(model, dtype="float32", device="cpu")), rtol=1e-4, atol=1e-5
    )
    assert spread.plan(1).attention == "sdpa"


def test_an_unknown_quantisation_is_refused() -> None:
    with pytest.raises(UsageError, match="quantization: 'int2' is unknown; use one of none, int8, nf4"):
        HuggingFaceEncoder(str(tiny_model("bert")), quantization="int2")
