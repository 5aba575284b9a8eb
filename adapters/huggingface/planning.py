"""Deciding how a job is computed: device, dtype, attention path, batch budget, compiled or not."""

from __future__ import annotations

import torch

from fusionapp.adapters.huggingface.architecture import Architecture
from fusionapp.adapters.huggingface.loading import SPREAD
from fusionapp.adapters.huggingface.packed_attention import PACKED
from fusionapp.adapters.model_files.attention import supports_sdpa
from fusionapp.adapters.torch_shared.device import automatic_dtype, resolve_device
from fusionapp.domain.embeddings import ExecutionPlan

_CPU_TOKENS = {"float32": 1024, "bfloat16": 2048, "float16": 1024}
_SMALL_MODEL_TOKENS, _LARGE_MODEL_TOKENS = 65536, 16384
"""Tokens a batch on a GPU, for models up to 1024 wide and for wider ones."""


def choose_plan(
    architecture: Architecture,
    *,
    device: str,
    dtype: str,
    batch_tokens: int | None,
    compiled: bool,
) -> ExecutionPlan:
    """How texts go through a model; arguments beside the first are the user's settings.

    A CPU is fastest with 512 to 2,048 tokens a batch, which stay in its cache; a GPU wants many.

    Raises:
        UsageError: the device is not there.
    """
    spread = device == SPREAD
    place = resolve_device("auto" if spread else device)
    chosen = str(automatic_dtype(place)).removeprefix("torch.") if dtype == "auto" else dtype
    tokens = _CPU_TOKENS[chosen]
    if place.type == "cuda":
        tokens = _SMALL_MODEL_TOKENS if architecture.dim <= 1024 else _LARGE_MODEL_TOKENS
    threads = torch.get_num_threads()
    return ExecutionPlan(
        device=SPREAD if spread else str(place),
        dtype=chosen,
        attention=_attention(architecture, spread),
        threads=threads,
        batch_tokens=batch_tokens or tokens,
        compile=compiled,
    )


def _attention(architecture: Architecture, spread: bool) -> str:
    if architecture.soft_capped:
        return "eager"
    # Where layers stand on several devices, what travels between them is known to accelerate alone.
    if architecture.model_type in PACKED and not spread:
        return "packed"
    return "sdpa" if supports_sdpa(architecture.model_type) else "eager"
