"""Training on a GPU, as on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, tiny_model
from tuning import read, train, vectors

from fusionapp.adapters.huggingface.tuning.opening import open_trainable
from fusionapp.adapters.huggingface.tuning.preflight import check_encoder
from fusionapp.adapters.huggingface.tuning.saved import save_encoder
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.domain.finetuning import FineTuning, Method

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


# Tiny models are narrower than a block of NF4 weights.
@pytest.mark.filterwarnings("ignore:inner dimension:UserWarning")
@pytest.mark.parametrize("kind", ["bert", "qwen2"])
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_a_method_trains_and_is_saved_as_it_was_trained(method: Method, kind: str, tmp_path: Path) -> None:
    if method != "full":
        pytest.importorskip("peft", reason="the extra `tune` is not installed")
    if method == "qlora":
        pytest.importorskip("bitsandbytes", reason="the extra `tune` is not installed")
    encoder = open_trainable(
        EncoderSettings(str(tiny_model(kind))),
        FineTuning(method=method),
        device="cuda:0",
        activation_checkpointing=True,
    )
    check_encoder(encoder, 10)

    losses = train(encoder)

    assert losses[-1] < losses[0]
    save_encoder(encoder, tmp_path / "model", similarity="dot")
    np.testing.assert_allclose(read(tmp_path / "model", TEXTS), vectors(encoder, TEXTS), rtol=1e-3, atol=1e-3)
