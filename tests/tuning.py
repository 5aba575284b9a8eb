"""Tiny encoders opened for training, and a few steps of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tiny_models import tiny_model
from torch import Tensor

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.sentence_config import Side
from fusionapp.adapters.huggingface.tuning.opening import open_trainable
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.domain.finetuning import FineTuning, Method

QUERIES = ("the brown fox", "I am happy", "a sad day", "numbers 1 2 3")
DOCUMENTS = ("jumps over the lazy dog", "thank you, it was a good day", "nobody came", "4 5 6 7 8 9")


def opened(
    kind: str | Path, method: Method = "full", encoder: dict[str, Any] | None = None, **finetuning: Any
) -> TrainableEncoder:
    """A tiny encoder on the CPU; `encoder` are settings of `open_trainable` and `EncoderSettings`."""
    given = dict(encoder or {})
    names = {"dtype", "dropout", "bidirectional", "activation_checkpointing", "seed"} & given.keys()
    options = {name: given.pop(name) for name in names}
    model = kind if isinstance(kind, Path) else tiny_model(kind)
    return open_trainable(
        EncoderSettings(str(model), **given), FineTuning(method=method, **finetuning), device="cpu", **options
    )


def loss(encoder: TrainableEncoder) -> Tensor:
    """InfoNCE over four pairs."""
    sides: dict[Side, tuple[str, ...]] = {"query": QUERIES, "document": DOCUMENTS}
    queries, documents = (
        torch.nn.functional.normalize(encoder.embed(encoder.tokenize(texts, side).ids, side))
        for side, texts in sides.items()
    )
    return torch.nn.functional.cross_entropy(
        queries @ documents.T / 0.1, torch.arange(len(QUERIES), device=queries.device)
    )


def train(encoder: TrainableEncoder, steps: int = 3, rate: float = 0.002) -> list[float]:
    """Some steps of Adam; the loss before each, and after the last."""
    optimizer = torch.optim.Adam(list(encoder.trained()), lr=rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(encoder)
        torch.autograd.backward(value)
        optimizer.step()
        losses.append(value.item())
    return [*losses, loss(encoder).item()]


def vectors(
    encoder: TrainableEncoder, texts: tuple[str, ...], side: Side = "document"
) -> NDArray[np.float32]:
    """(texts, dim), as they are in evaluation."""
    encoder.eval()
    with torch.no_grad():
        found: NDArray[np.float32] = encoder.embed(encoder.tokenize(texts, side).ids, side).cpu().numpy()
    return found


def read(directory: Path, texts: tuple[str, ...], **settings: Any) -> NDArray[np.float32]:
    """(texts, dim) by the encoder that extraction uses."""
    encoder = HuggingFaceEncoder(str(directory), dtype="float32", device="cpu", **settings)
    found = encoder.encode(list(texts), encoder.plan(len(texts))).embeddings
    return np.asarray(found)[:, 0]
