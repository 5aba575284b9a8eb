"""Loading a model's weights: no pickle, no code from the model's directory, no kernel from the hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusionapp.adapters.huggingface import packed_attention, product_attention
from fusionapp.adapters.huggingface.decisions import Decisions
from fusionapp.adapters.huggingface.nv_embed import load_nv_embed
from fusionapp.adapters.huggingface.views import Pool, ViewExtractor
from fusionapp.adapters.model_files.checkpoint import read_config, weight_files
from fusionapp.adapters.torch_shared.loading import explain_errors
from fusionapp.adapters.torch_shared.quiet import quiet_loggers, quiet_transformers
from fusionapp.domain.embeddings import ExecutionPlan
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.pooling import PoolingKind, mean_pool, pool

SPREAD = "spread"
"""The device setting that lays a model's layers over all devices there are."""


class LoadedModel:
    """A model on its device: what `HuggingFaceEncoder` frees in `close`.

    Attributes:
        widens: whether `in_float32` is possible; quantised weights, and ones on several devices, stay as they are.
    """

    def __init__(
        self,
        directory: Path,
        decisions: Decisions,
        plan: ExecutionPlan,
        trust_remote_code: bool,
        quantization: str = "none",
    ) -> None:
        """Load the weights of a directory that holds them whole.

        Raises:
            CorruptArtifactError: the files are not a whole model.
            UsageError: transformers cannot run the model.
        """
        dtype = getattr(torch, plan.dtype)
        latent: nn.Module | None = None
        if decisions.architecture.latent_attention:
            body, latent = load_nv_embed(
                read_config(directory), weight_files(directory), dtype, plan.attention
            )
        else:
            body = load_transformer(directory, plan, trust_remote_code, quantization)
        self._modules = [module.eval() for module in (body, latent) if module is not None]
        if plan.device != SPREAD and quantization == "none":
            for module in self._modules:
                module.to(plan.device)
        self._dtype = dtype
        self.widens = quantization == "none" and plan.device != SPREAD
        # On a GPU several shards are under way at once: none may launch while another has widened the weights.
        self._launching = RLock() if plan.device.startswith("cuda") else nullcontext()
        self._views = ViewExtractor(
            body,
            _pool(decisions, latent),
            layers=decisions.layers,
            depth=decisions.architecture.layers,
            normalize=decisions.normalize,
            pad_left=decisions.padding_side == "left",
            packed=plan.attention == "packed",
            compiled=plan.compile,
        )

    def views(self, ids: Sequence[NDArray[np.int32]], skip: int = 0, budget: int | None = None) -> Tensor:
        """Embed a batch; see `ViewExtractor`."""
        with self._launching:
            return self._views(ids, skip, budget)

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        """Compute in float32 for a while, then return to the very weights that were loaded.

        Widening and narrowing back is exact. Tensors that were float32 all along, as rotary frequencies are,
        stay untouched: `model.to(dtype)` would round them.
        """
        narrow = [
            tensor
            for module in self._modules
            for tensor in (*module.parameters(), *module.buffers())
            if tensor.dtype == self._dtype
        ]
        with self._launching:
            try:
                _cast(narrow, torch.float32)
                yield
            finally:
                _cast(narrow, self._dtype)


def _cast(tensors: list[Tensor], dtype: torch.dtype) -> None:
    for tensor in tensors:
        tensor.data = tensor.data.to(dtype)


def _pool(decisions: Decisions, latent: nn.Module | None) -> Pool:
    """Pool in float32: a sum over hundreds of bfloat16 states would lose what the states still hold."""
    if decisions.pooling == "latent_attention":
        layer = cast(nn.Module, latent)
        return lambda states, mask: mean_pool(layer(states).float(), mask)
    kind: PoolingKind = decisions.pooling
    return lambda states, mask: pool(kind, states.float(), mask)


def load_transformer(
    directory: Path,
    plan: ExecutionPlan,
    trust_remote_code: bool = False,
    quantization: str = "none",
    *,
    config: Any = None,
    compute_dtype: str | None = None,
) -> nn.Module:
    """The model without any head, in the plan's dtype and attention; a quantised or spread one is placed, too.

    Args:
        directory: holds configuration and weights.
        plan: on what, in which dtype and by which attention path.
        trust_remote_code: run the code in the directory.
        quantization: "none", "int8", "nf4" or "fp4".
        config: the model's configuration, where it is not the directory's own.
        compute_dtype: what 4-bit weights are multiplied in; None is the plan's dtype.

    Raises:
        CorruptArtifactError: weights are missing.
    """
    from transformers import AutoModel

    implementation = plan.attention
    if plan.attention == "packed":
        packed_attention.register()
        implementation = packed_attention.NAME
    elif plan.attention == "products":
        product_attention.register()
        implementation = product_attention.NAME
    dtype = getattr(torch, plan.dtype)
    placed: dict[str, Any] = {}
    if quantization != "none":
        placed["quantization_config"] = quantization_config(
            quantization, getattr(torch, compute_dtype or plan.dtype)
        )
    if config is not None:
        placed["config"] = config
    if plan.device == SPREAD:
        placed["device_map"] = "auto"
    elif quantization != "none":
        placed["device_map"] = {"": plan.device}
    quantizer = nullcontext() if quantization == "none" else quiet_loggers("bitsandbytes")
    with quiet_transformers(), quantizer:
        body, report = AutoModel.from_pretrained(
            directory,
            dtype=dtype,
            # Named here so that nothing in config.json can name another.
            attn_implementation=implementation,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            weights_only=True,
            output_loading_info=True,
            **placed,
        )
    # A checkpoint of a language model has no pooler, which is not used here; anything else missing would be
    # filled with random numbers in silence.
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if missing:
        raise CorruptArtifactError(
            f"{directory}: {len(missing)} weights are missing, {missing[0]} first; fetch the model again"
        )
    body.config.use_cache = False
    return cast(nn.Module, body)


def quantization_config(quantization: str, dtype: torch.dtype) -> Any:
    """How bitsandbytes is to hold the weights: int8 (Dettmers et al. 2022), nf4 or fp4 (Dettmers et al. 2023).

    Raises:
        UsageError: bitsandbytes or accelerate is not installed.
    """
    from transformers import BitsAndBytesConfig

    if not (find_spec("accelerate") and find_spec("bitsandbytes")):
        raise UsageError(
            f"quantization: {quantization!r} needs bitsandbytes and accelerate; install the extra `tune`"
        )
    build: Any = BitsAndBytesConfig
    if quantization == "int8":
        return build(load_in_8bit=True)
    return build(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def loading_errors(model: str) -> AbstractContextManager[None]:
    """Say in one line why transformers cannot load a model; see `explain_errors`."""
    return explain_errors(
        model,
        unable="transformers cannot load",
        smaller='set dtype = "bfloat16", quantization = "int8" or "nf4", device = "spread", or use a smaller '
        "model",
        unfit=(ImportError, ValueError),
    )
