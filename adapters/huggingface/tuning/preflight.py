"""What tuning would train, tried on two short texts before the first step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.application.ports.encoder_tuner import Preflight
from fusionapp.domain.errors import UsageError

_TEXTS = ("what is asked here", "a short text, and one that is longer than the other")

_FEW_PAIRS = 100_000
"""Below this many pairs, training every weight tends to overfit."""

_LARGE = 7_000_000_000
"""Numbers from which on float32 weights and their gradients outgrow one common GPU."""

_SMALL = 1_000_000_000
"""Numbers below which frozen float32 weights fit anywhere, so that 4 bits save nothing worth their rounding."""

_KEY_BIAS = re.compile(r"(^|\.)(key|k|k_proj|k_lin)\.bias$")
"""A key's bias adds the same to all scores of a query, which softmax ignores: without rotary positions its
gradient is zero by nature."""


def check_encoder(encoder: TrainableEncoder, pairs: int, learning_rate: float | None = None) -> Preflight:
    """Count what is trained, and see a gradient arrive at every trained tensor.

    The encoder is left as it was: no weight, gradient or mode changes.

    Args:
        encoder: as `open_trainable` made it.
        pairs: that it is to be trained on.
        learning_rate: step size; None is the method's default.

    Raises:
        UsageError: nothing is trained, or a tensor gets no gradient, or one that is not finite.
    """
    trained = encoder.trained()
    count = sum(parameter.numel() for parameter in trained)
    if not count:
        raise UsageError(
            f"finetuning.method: {encoder.finetuning.method!r} would train nothing in {encoder.settings.model}; "
            'use method = "lora"'
        )
    check_gradients(encoder)
    sizes = Counter[str]()
    for parameter in encoder.parameters():
        sizes[str(parameter.dtype).removeprefix("torch.")] += _numbers(parameter)
    total = sum(sizes.values())
    return Preflight(
        method=encoder.finetuning.method,
        trainable=count,
        parameters=total,
        dtypes={_DTYPE_NAMES.get(name, name): size for name, size in sizes.items()},
        learning_rate=encoder.finetuning.step_size(learning_rate),
        adapted=encoder.adapted,
        advice=tuple(_advice(encoder, total, count, pairs)),
    )


_DTYPE_NAMES = {"uint8": "4-bit"}
"""bitsandbytes packs two 4-bit numbers in a byte."""


def _numbers(parameter: Tensor) -> int:
    """Numbers in a tensor; a 4-bit one holds two in each of its bytes."""
    return parameter.numel() * (2 if parameter.dtype is torch.uint8 else 1)


def check_gradients(encoder: TrainableEncoder) -> None:
    """Run two texts forward and backward, and look at every trained tensor's gradient.

    LoRA starts with B = 0, so that A gets no gradient at the first step: B is set apart from zero meanwhile.

    Raises:
        UsageError: a gradient is missing, zero everywhere or not finite.
    """
    named = {name: each for name, each in encoder.named_parameters() if each.requires_grad}
    with _tried(encoder, named):
        queries, documents = (
            encoder(encoder.tokenize(_TEXTS, side).ids, side) for side in ("query", "document")
        )
        # Weighted, because the sum over a layer-normalised vector is a constant.
        weights = torch.linspace(-1.0, 1.0, encoder.dim, device=queries.device)
        torch.autograd.backward(torch.tanh(torch.cat([queries, documents]) * weights).sum())
        bad = {name: fault for name, each in named.items() if (fault := _fault(name, each))}
    if bad:
        name, fault = next(iter(bad.items()))
        raise UsageError(
            f"finetuning: {len(bad)} of {len(named)} trained tensors cannot learn, the gradient of {name} "
            f"{fault}; name other target_modules, or choose another method"
        )


def _fault(name: str, parameter: nn.Parameter) -> str | None:
    gradient = parameter.grad
    if gradient is None:
        return "never arrives"
    if not bool(torch.isfinite(gradient).all()):
        return "is not finite"
    if not bool(gradient.any()) and not _KEY_BIAS.search(name):
        return "is zero everywhere"
    return None


@contextmanager
def _tried(encoder: TrainableEncoder, named: dict[str, nn.Parameter]) -> Iterator[None]:
    """Leave gradients, random state, mode and adapters as they were."""
    training = encoder.training
    gradients = {name: each.grad for name, each in named.items()}
    zeros = [each for name, each in named.items() if ".lora_B." in name and not bool(each.any())]
    devices = [encoder.device] if encoder.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            encoder.train()  # recomputed activations are recomputed in training alone
            with torch.no_grad():
                for each in zeros:
                    each.normal_(std=0.01)
            for each in named.values():
                each.grad = None
            yield
    finally:
        with torch.no_grad():
            for each in zeros:
                each.zero_()
        for name, each in named.items():
            each.grad = gradients[name]
        encoder.train(training)


def _advice(encoder: TrainableEncoder, total: int, count: int, pairs: int) -> Iterator[str]:
    method = encoder.finetuning.method
    if method == "full" and pairs < _FEW_PAIRS:
        yield (
            f"{pairs:,} pairs are few for training all {count:,} numbers: lora or last_layers overfit less below "
            f"{_FEW_PAIRS:,}"
        )
    if total >= _LARGE and method != "qlora":
        yield (
            f"{total:,} numbers in float32 take {total * 4 / 1e9:.0f} GB before any gradient: qlora holds the "
            "frozen ones in an eighth of that"
        )
    if method == "qlora" and total < _SMALL:
        yield (
            f"qlora gains nothing on a model of {total:,} numbers: its frozen weights fit in memory as they are, "
            "and lora trains on them without rounding"
        )
    if method in ("lora", "qlora") and encoder.finetuning.rank >= encoder.dim:
        yield (
            f"rank {encoder.finetuning.rank} is not below the model's width of {encoder.dim}: the adapters are no "
            "smaller than what they adapt"
        )
