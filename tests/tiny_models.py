"""Tiny random-weight models of real architectures, each saved with a tokenizer of its own family.

`AutoTokenizer` picks the tokenizer's class by the model's type, whatever the directory holds, so a model
saved with another family's tokenizer would be tokenised by chance; `test_huggingface_tokenization` asserts
the ids.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CORPUS = (
    "the quick brown fox jumps over the lazy dog and runs away from a small red house",
    "I am very happy today, thank you! It was a good day for all of us.",
    "What a sad and lonely day it was: nobody came, and the rain never stopped.",
    "numbers 0 1 2 3 4 5 6 7 8 9 and signs . , ; : ! ? - ( )",
) * 4

TEXTS = (
    "the quick brown fox",
    "I am very happy today, thank you! It was a good day for all of us and the dog.",
    "What a sad day",
    "a",
    "nobody came, and the rain never stopped. " * 3,
)

KINDS = (
    "bert",
    "roberta",
    "mpnet",
    "llama",
    "mistral",
    "gemma",
    "gemma2",
    "qwen2",
    "falcon",
    "falcon_alibi",
    "falcon3",
    "qwen3",
    "xlm_roberta",
    "camembert",
    "electra",
    "distilbert",
    "modernbert",
)

_FOLDER = TemporaryDirectory(prefix="tiny-models-")

DIM = 32
LAYERS = 3
POSITIONS = 96


@cache
def tiny_model(kind: str) -> Path:
    """The directory of a tiny model, written once a test run."""
    return save_tiny(kind, Path(_FOLDER.name) / kind)


def save_tiny(kind: str, directory: Path, layers: int = LAYERS, dim: int = DIM) -> Path:
    """Write a tiny model of one of `KINDS` and its tokenizer to a directory, and return it."""
    import torch
    import transformers

    tokenizer = _tokenizer(kind)
    tokenizer.save_pretrained(directory)
    config = _CONFIGS[kind](
        transformers, {**_sizes(tokenizer), "num_hidden_layers": layers, "hidden_size": dim}
    )
    torch.manual_seed(sum(map(ord, kind)))
    auto: Any = transformers.AutoModel
    model = auto.from_config(config)
    # Wider than transformers' initialisation, or vectors of different texts would hardly differ.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    model.save_pretrained(directory)
    return directory


def _tokenizer(kind: str) -> Any:
    import transformers

    names = {
        "bert": "BertTokenizer",
        "roberta": "RobertaTokenizer",
        "mpnet": "MPNetTokenizer",
        "gemma": "GemmaTokenizer",
        "gemma2": "GemmaTokenizer",
        "qwen2": "Qwen2Tokenizer",
        "falcon": "Qwen2Tokenizer",
        "falcon_alibi": "Qwen2Tokenizer",
        "qwen3": "Qwen2Tokenizer",
        "xlm_roberta": "XLMRobertaTokenizer",
        "camembert": "CamembertTokenizer",
        "electra": "BertTokenizer",
        "distilbert": "BertTokenizer",
        "modernbert": "BertTokenizer",
    }
    empty = getattr(transformers, names.get(kind, "LlamaTokenizer"))()
    trained = _trained(empty)
    if kind != "mpnet":
        return trained
    # transformers' MPNet takes id 1 for padding whatever its configuration says, so the vocabulary must, too.
    special = ["<s>", "<pad>", "</s>", "[UNK]"]
    vocabulary = trained.get_vocab()
    words = [word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word not in special]
    return transformers.MPNetTokenizer(vocab={word: row for row, word in enumerate(special + words)})


def _trained(empty: Any) -> Any:
    """A tokenizer trained on the corpus, the same in every process.

    WordPiece and Unigram trainers walk hash tables, whose order differs between processes: letters inside words
    are numbered in it, equal counts are merged by those numbers, and probabilities are summed in it.
    """
    from tokenizers import models

    trained = empty.train_new_from_iterator(CORPUS, 320)
    backend = trained.backend_tokenizer
    if isinstance(backend.model, models.WordPiece):
        letters = sorted(word for word in trained.get_vocab() if len(word) == 3 and word.startswith("##"))
        # Special tokens are numbered first and as they stand; the model of this second training alone is kept.
        again = empty.train_new_from_iterator(CORPUS, 320, new_special_tokens=letters)
        backend.model = again.backend_tokenizer.model
    elif isinstance(backend.model, models.Unigram):
        model = json.loads(backend.to_str())["model"]
        pieces = [(piece, round(score, 6)) for piece, score in model["vocab"]]
        # Special tokens, whose score is 0, stay first and as they stand.
        pieces.sort(key=lambda one: (-one[1], one[0] if one[1] else ""))
        backend.model = models.Unigram(pieces, unk_id=model["unk_id"])
    return trained


def _sizes(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": DIM,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _falcon(transformers: Any, sizes: dict[str, Any], alibi: bool) -> Any:
    sizes.pop("intermediate_size")
    return transformers.FalconConfig(**sizes, alibi=alibi, new_decoder_architecture=False)


def _distilled(sizes: dict[str, Any]) -> dict[str, Any]:
    names = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
    names |= {"intermediate_size": "hidden_dim"}
    return {names.get(name, name): size for name, size in sizes.items()}


_CONFIGS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "bert": lambda t, sizes: t.BertConfig(**sizes),
    "roberta": lambda t, sizes: t.RobertaConfig(**sizes),
    "mpnet": lambda t, sizes: t.MPNetConfig(**sizes),
    "llama": lambda t, sizes: t.LlamaConfig(**sizes, num_key_value_heads=2),
    "mistral": lambda t, sizes: t.MistralConfig(**sizes, num_key_value_heads=2, sliding_window=16),
    "gemma": lambda t, sizes: t.GemmaConfig(**sizes, num_key_value_heads=2, head_dim=8),
    "gemma2": lambda t, sizes: t.Gemma2Config(
        **sizes, num_key_value_heads=2, head_dim=8, sliding_window=16, query_pre_attn_scalar=8
    ),
    "qwen2": lambda t, sizes: t.Qwen2Config(**sizes, num_key_value_heads=2),
    "falcon": lambda t, sizes: _falcon(t, sizes, alibi=False),
    "falcon_alibi": lambda t, sizes: _falcon(t, sizes, alibi=True),
    "qwen3": lambda t, sizes: t.Qwen3Config(**sizes, num_key_value_heads=2, head_dim=16),
    "xlm_roberta": lambda t, sizes: t.XLMRobertaConfig(**sizes),
    "camembert": lambda t, sizes: t.CamembertConfig(**sizes),
    "electra": lambda t, sizes: t.ElectraConfig(**sizes, embedding_size=16),
    "distilbert": lambda t, sizes: t.DistilBertConfig(**_distilled(sizes)),
    "modernbert": lambda t, sizes: t.ModernBertConfig(
        **sizes, local_attention=8, cls_token_id=2, sep_token_id=3
    ),
    # Falcon3 is Llama-shaped, with its own head size.
    "falcon3": lambda t, sizes: t.LlamaConfig(**sizes, num_key_value_heads=1, head_dim=16),
}
