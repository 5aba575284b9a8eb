"""The weights of a tuned encoder under the names that its family knows, adapters merged into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from fusionapp.adapters.huggingface.tuning.methods import ADAPTER
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder, inner_body
from fusionapp.adapters.model_files.checkpoint import weight_files


@torch.no_grad()
def merged_weights(encoder: TrainableEncoder) -> dict[str, Tensor]:
    """In float32 on the CPU; the encoder itself stays as it is and can be trained on.

    An adapted weight W becomes W + s B A, where s is alpha / rank or alpha / sqrt(rank); with DoRA its rows are
    scaled to the trained magnitudes (Liu et al. 2024, equation 5). A 4-bit W is what those 4 bits stand for: that
    is what the adapters were trained on, and not what it was before it was quantised. The pooler, which no
    embedding goes through, is the model's own; where that has none, random numbers are not saved for it.
    """
    pooler = _has_pooler(encoder.source)
    return {
        # One by one: merged weights never stand on a GPU together.
        name: weight.detach().to("cpu", torch.float32).contiguous()
        for name, weight in _weights(inner_body(encoder.body))
        if pooler or "pooler" not in name
    }


def _has_pooler(source: Path) -> bool:
    """Whether a model's files hold one; pickled ones are not opened for a weight that nothing uses."""
    for path in weight_files(source):
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                if any("pooler" in name for name in file.keys()):  # noqa: SIM118  # it is no mapping
                    return True
    return False


def _weights(body: nn.Module) -> Iterator[tuple[str, Tensor]]:
    adapted: dict[str, Any] = {
        name: module for name, module in body.named_modules() if hasattr(module, "lora_A")
    }
    for name, layer in adapted.items():
        base: Any = layer.base_layer
        yield f"{name}.weight", merged_weight(layer, _in_float32(base))
        if base.bias is not None:
            yield f"{name}.bias", base.bias
    for name, parameter in body.named_parameters():
        module, _, last = name.rpartition(".")
        if any(name.startswith(f"{each}.") for each in _parents(module, adapted)):
            continue
        yield name, _in_float32(body.get_submodule(module)) if last == "weight" else parameter


def _parents(module: str, adapted: Mapping[str, object]) -> Iterator[str]:
    parts = module.split(".")
    names = (".".join(parts[: count + 1]) for count in range(len(parts)))
    return (name for name in names if name in adapted)


def _in_float32(module: nn.Module) -> Tensor:
    """A layer's weight; one in 4 bits is read back."""
    weight: Any = module.weight
    if type(weight).__name__ != "Params4bit":
        plain: Tensor = weight.float()
        return plain
    from bitsandbytes.functional import dequantize_4bit

    read_back: Tensor = dequantize_4bit(weight.data, weight.quant_state).float()
    return read_back


def merged_weight(layer: Any, weight: Tensor) -> Tensor:
    """The one weight (out, in) by which a layer computes what it computes with its adapter, dropout aside.

    Args:
        layer: PEFT's, with A (rank, in), B (out, rank) and with DoRA magnitudes (out,).
        weight: (out, in) float32, what is adapted.
    """
    down, up = layer.lora_A[ADAPTER].weight.float(), layer.lora_B[ADAPTER].weight.float()
    merged: Tensor = weight + layer.scaling[ADAPTER] * (up @ down)
    if ADAPTER not in layer.lora_magnitude_vector:
        return merged
    magnitude: Tensor = layer.lora_magnitude_vector[ADAPTER].weight.float()
    scaled: Tensor = magnitude[:, None] * merged / torch.linalg.norm(merged, dim=1, keepdim=True)
    return scaled
