"""The CUDA path against the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize("kind", ["bert", "llama", "gemma2", "mpnet"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 1e-1)])
def test_a_gpu_gives_what_the_cpu_gives(kind: str, dtype: str, tolerance: float) -> None:
    # Random wide weights magnify rounding far more than a trained model's do, hence the wide bfloat16 bound.
    cpu = HuggingFaceEncoder(
        str(tiny_model(kind)), layers="all", pooling="mean", dtype="float32", device="cpu"
    )
    gpu = HuggingFaceEncoder(
        str(tiny_model(kind)), layers="all", pooling="mean", dtype=dtype, device="cuda:0"
    )

    expected = np.asarray(cpu.encode(TEXTS, cpu.plan(1)).embeddings)
    found = np.asarray(gpu.encode(TEXTS, gpu.plan(1)).embeddings)
    gpu.close()

    error = np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert error.max() <= tolerance
