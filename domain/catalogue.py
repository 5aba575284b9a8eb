"""The encoders that are known by a short name, and what each one wants of its input and output."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal

import attrs

Pooling = Literal["mean", "cls", "last", "latent_attention"]
PaddingSide = Literal["left", "right"]


@attrs.frozen
class EncoderCard:
    """What is known of a model before any of its files is read.

    Attributes:
        alias: its short name.
        model: its Hugging Face hub id.
        dim: numbers in one layer's embedding.
        pooling: how token states become one vector, as its authors or the work that this follows do it.
        max_length: most tokens it reads, special tokens included.
        prefix: what stands before each text to be classified.
        query_prefix: what stands before a query in retrieval.
        passage_prefix: what stands before a passage in retrieval.
        padding_side: the side that its tokenizer pads.
        normalize: whether its vectors are scaled to Euclidean length 1.
        gated: whether the hub asks to accept a licence first.
        names: other names that it goes by.
    """

    alias: str
    model: str
    dim: int
    pooling: Pooling
    max_length: int
    prefix: str = ""
    query_prefix: str = ""
    passage_prefix: str = ""
    padding_side: PaddingSide = "right"
    normalize: bool = False
    gated: bool = False
    names: tuple[str, ...] = ()


def _llm(alias: str, model: str, dim: int, max_length: int, **more: object) -> EncoderCard:
    # Masked mean over tokens: what the fusion and LLMEmbed experiments (ACL 2024) took from decoders.
    return EncoderCard(alias, model, dim, "mean", max_length, **more)  # type: ignore[arg-type]  # fields by name


def _bge(size: str, dim: int) -> EncoderCard:
    return EncoderCard(
        f"bge-{size}",
        f"BAAI/bge-{size}-en-v1.5",
        dim,
        "cls",  # the model's own configuration; a mean, as some write-ups have it, is not what was trained
        512,
        query_prefix="Represent this sentence for searching relevant passages: ",
        normalize=True,
    )


def _e5(size: str, dim: int, names: tuple[str, ...] = ()) -> EncoderCard:
    # Wang et al. 2022: every input starts with "query: " or "passage: "; the authors advise "query: " where
    # embeddings are used as features, as in classification.
    return EncoderCard(
        f"e5-{size}",
        f"intfloat/e5-{size}-v2",
        dim,
        "mean",
        512,
        prefix="query: ",
        query_prefix="query: ",
        passage_prefix="passage: ",
        normalize=True,
        names=names,
    )


def _sentence(alias: str, model: str, dim: int, max_length: int, names: tuple[str, ...] = ()) -> EncoderCard:
    return EncoderCard(
        alias, f"sentence-transformers/{model}", dim, "mean", max_length, normalize=True, names=names
    )


CARDS: tuple[EncoderCard, ...] = (
    _llm("gemma", "google/gemma-2-2b", 2304, 8192, padding_side="left", gated=True),
    _llm("qwen", "Qwen/Qwen2.5-7B", 3584, 131072),
    _llm("llama", "meta-llama/Llama-2-7b-chat-hf", 4096, 4096, gated=True),
    _llm("falcon", "tiiuae/Falcon3-7B-Instruct", 3072, 32768),
    _llm("mistral", "mistralai/Mistral-7B-v0.3", 4096, 32768, padding_side="left", gated=True),
    EncoderCard("nv_embed", "nvidia/NV-Embed-v2", 4096, "latent_attention", 32768, normalize=True),
    _e5("large", 1024, names=("e5",)),
    _e5("base", 768),
    _e5("small", 384),
    EncoderCard("bert-large", "google-bert/bert-large-uncased", 1024, "cls", 512),
    EncoderCard("roberta-large", "FacebookAI/roberta-large", 1024, "cls", 512),
    _bge("large", 1024),
    _bge("base", 768),
    _bge("small", 384),
    _sentence("minilm", "all-MiniLM-L6-v2", 384, 256, names=("minilm-l6",)),
    _sentence("minilm-l12", "all-MiniLM-L12-v2", 384, 128),
    _sentence("mpnet", "all-mpnet-base-v2", 768, 384),
    attrs.evolve(
        _sentence("multilingual-minilm", "paraphrase-multilingual-MiniLM-L12-v2", 384, 128),
        normalize=False,  # unlike the all-* models it ends in its pooling
    ),
    _llm("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", 896, 32768),
    _llm("qwen2.5-0.5b-instruct", "Qwen/Qwen2.5-0.5B-Instruct", 896, 32768),
)


SERVED = {"openai-small": "text-embedding-3-small", "openai-large": "text-embedding-3-large"}
"""Short names of models that stand behind OpenAI's own server, for the adapter `openai`."""


def _names(card: EncoderCard) -> tuple[str, ...]:
    return (card.alias, card.model, card.model.partition("/")[2], *card.names)


_BY_NAME = {name.lower(): card for card in CARDS for name in _names(card)}


def find_card(name: str) -> EncoderCard | None:
    """The card that a name stands for: an alias, a hub id or its last part, in any case; else None."""
    return _BY_NAME.get(name.lower())


def similar_names(name: str, most: int = 3) -> list[str]:
    """Known names that look like this one, nearest first, for messages about a name that is not known."""
    return get_close_matches(name.lower(), _BY_NAME, n=most, cutoff=0.5)
