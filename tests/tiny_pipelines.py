"""Tiny saved sentence-transformers pipelines, with modules that the huggingface adapter does not follow."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tiny_models import CORPUS, DIM, LAYERS, tiny_model

PIPELINES = ("dense", "layers", "cnn", "lstm", "static")
DENSE_DIM = 16
MAX_LENGTH = 24

_FOLDER = TemporaryDirectory(prefix="tiny-pipelines-")


@cache
def tiny_pipeline(kind: str) -> Path:
    """The directory of a tiny pipeline, written once a test run."""
    return save_pipeline(kind, Path(_FOLDER.name) / kind)


def save_pipeline(kind: str, directory: Path, **settings: Any) -> Path:
    """Write one of `PIPELINES` to a directory and return it; `settings` go to `SentenceTransformer`."""
    import torch
    from sentence_transformers import SentenceTransformer

    first = _FIRST.get(kind, _transformer)(kind == "layers")
    torch.manual_seed(len(kind))
    modules = [first, *_AFTER[kind]()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SentenceTransformer(modules=modules, device="cpu", **settings).save(
            str(directory), create_model_card=False
        )
    return directory


def _library() -> Any:
    from sentence_transformers.sentence_transformer import modules

    return modules


def _transformer(all_layers: bool) -> Any:
    config = {"output_hidden_states": True} if all_layers else {}
    return _library().Transformer(str(tiny_model("bert")), max_seq_length=MAX_LENGTH, config_kwargs=config)


def _static(_: bool) -> Any:
    from transformers import BertTokenizer

    tokenizer: Any = BertTokenizer
    trained = tokenizer().train_new_from_iterator(CORPUS, 320)
    return _library().StaticEmbedding(trained.backend_tokenizer, embedding_dim=DENSE_DIM)


def _dense() -> list[Any]:
    from sentence_transformers.base.modules.dense import Dense

    return [
        _library().Pooling(DIM, pooling_mode=["mean", "cls"]),
        Dense(2 * DIM, DENSE_DIM),
        _library().Normalize(),
    ]


def _layers() -> list[Any]:
    import torch

    weights = torch.nn.Parameter(torch.arange(1.0, LAYERS + 1))
    mixed = _library().WeightedLayerPooling(DIM, LAYERS, layer_start=1, layer_weights=weights)
    return [mixed, _library().Pooling(DIM, pooling_mode="mean")]


def _cnn() -> list[Any]:
    return [_library().CNN(DIM, 8, [1, 3]), _library().Pooling(16, pooling_mode="mean")]


def _words(_: bool) -> Any:
    import numpy as np
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    words = sorted(set(" ".join(CORPUS).lower().split()))
    weights = np.random.default_rng(0).normal(size=(len(words), DIM))
    return _library().WordEmbeddings(
        WhitespaceTokenizer(words, stop_words=()), weights, max_seq_length=MAX_LENGTH
    )


def _lstm() -> list[Any]:
    return [_library().LSTM(DIM, 8), _library().Pooling(16, pooling_mode="mean")]


_FIRST: dict[str, Callable[[bool], Any]] = {"static": _static, "lstm": _words}
_AFTER: dict[str, Callable[[], list[Any]]] = {
    "dense": _dense,
    "layers": _layers,
    "cnn": _cnn,
    "lstm": _lstm,
    "static": list,
}
