"""Models of well-known shapes with random weights: speed does not depend on what a weight is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

POSITIONS = 512
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


@attrs.frozen
class Shape:
    """The sizes of a model.

    Attributes:
        family: "bert", or "llama", which is causal and has no biases.
        dim: width of a token state.
        layers: transformer layers.
        heads: attention heads.
        inner: width of the feed-forward layer.
        vocabulary: most word pieces of a tokenizer trained for it.
        dtype: of the weights on disk: what such models are published in.
    """

    family: str
    dim: int
    layers: int
    heads: int
    inner: int
    vocabulary: int = 30_522
    dtype: str = "float32"


SHAPES = {
    "minilm": Shape("bert", 384, 6, 12, 1536),
    "bert-base": Shape("bert", 768, 12, 12, 3072),
    "bert-large": Shape("bert", 1024, 24, 16, 4096),
    "llama-7b": Shape("llama", 4096, 32, 32, 11_008, 32_000, "bfloat16"),
}


def write_model(
    shape: Shape,
    directory: Path,
    tokenizer: Path | None = None,
    texts: Sequence[str] = (),
    device: str = "cpu",
) -> Path:
    """Write weights, configuration, tokenizer and sentence-transformers modules (mean pooling); the directory.

    Args:
        shape: of the model.
        directory: created.
        tokenizer: a directory whose tokenizer files are copied; else one is trained.
        texts: that it is trained on.
        device: where the random weights are drawn.
    """
    import transformers  # noqa: PLC0415

    directory.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        for name in _TOKENIZER_FILES:
            if (tokenizer / name).exists():
                shutil.copy(tokenizer / name, directory / name)
        library: Any = transformers.AutoTokenizer
        made = library.from_pretrained(tokenizer, local_files_only=True)
    else:
        made = _train_tokenizer(transformers, shape, texts)
        made.save_pretrained(directory)
    torch.manual_seed(0)
    auto: Any = transformers.AutoModel
    with torch.device(device):
        model = auto.from_config(_config(transformers, shape, made), dtype=getattr(torch, shape.dtype))
    model.save_pretrained(directory)
    _write_modules(directory, shape.dim)
    return directory


def _train_tokenizer(transformers: Any, shape: Shape, texts: Sequence[str]) -> Any:
    empty = transformers.BertTokenizer() if shape.family == "bert" else transformers.LlamaTokenizer()
    made = empty.train_new_from_iterator(texts, shape.vocabulary, show_progress=False)
    if made.pad_token is None:
        made.pad_token = made.eos_token  # sentence-transformers pads
    return made


def _config(transformers: Any, shape: Shape, tokenizer: Any) -> Any:
    build = transformers.BertConfig if shape.family == "bert" else transformers.LlamaConfig
    return build(
        vocab_size=max(shape.vocabulary, len(tokenizer)),
        hidden_size=shape.dim,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=POSITIONS,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _write_modules(directory: Path, dim: int) -> None:
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    pooling = {"word_embedding_dimension": dim, "pooling_mode_mean_tokens": True}
    files = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": POSITIONS, "do_lower_case": False},
        "1_Pooling/config.json": pooling,
    }
    for name, content in files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(json.dumps(content), encoding="utf-8")


def operations(directory: Path, lengths: NDArray[np.int64]) -> float:
    """Floating-point operations of the matrix products that embedding texts cannot do without.

    Two for each weight of a linear layer and token, and in each layer 4 * length² * dim for the scores and their
    sums over values; half of these in a decoder, which looks back only.

    Args:
        directory: a model with its ``config.json``.
        lengths: (texts,) tokens of each text.
    """
    import transformers  # noqa: PLC0415

    configs: Any = transformers.AutoConfig
    config = configs.from_pretrained(directory, local_files_only=True)
    auto: Any = transformers.AutoModel
    with torch.device("meta"):
        model = auto.from_config(config)
    weights = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "pooler" not in name
    )
    seen = 0.5 if config.model_type == "llama" else 1.0
    squares = float((lengths.astype(np.float64) ** 2).sum())
    width = int(config.hidden_size) * int(config.num_hidden_layers)
    return 2.0 * weights * float(lengths.sum()) + 4.0 * width * squares * seen
