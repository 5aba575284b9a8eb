"""The rules by which each choice about a model is made: what was asked for first, then what is known of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from fusionapp.adapters.huggingface.architecture import Architecture
from fusionapp.adapters.huggingface.sentence_config import Prompts, SentenceConfig, Side
from fusionapp.adapters.model_files.checkpoint import read_json
from fusionapp.domain.catalogue import EncoderCard, PaddingSide, Pooling
from fusionapp.domain.errors import UsageError

logger = logging.getLogger("fusionapp")

Layers = tuple[int, ...] | Literal["all"]


def resolve_layers(layers: Layers, depth: int) -> tuple[int, ...]:
    """Indices 0..depth into transformers' hidden states; negative ones count from the end, "all" is 1..depth.

    Raises:
        UsageError: one is out of range, comes twice, or there is none.
    """
    if layers == "all":
        return tuple(range(1, depth + 1))
    resolved = tuple(layer + depth + 1 if layer < 0 else layer for layer in layers)
    for asked, layer in zip(layers, resolved, strict=True):
        if not 0 <= layer <= depth:
            raise UsageError(f"layers: {asked} is out of range; the model has {-depth - 1} to {depth}")
    if not resolved or len(set(resolved)) < len(resolved):
        raise UsageError(f"layers: {list(layers)} must name at least one layer and none twice")
    return resolved


def choose_pooling(
    asked: str, sentence: SentenceConfig | None, card: EncoderCard | None, architecture: Architecture
) -> tuple[Pooling, str]:
    """Asked for, else sentence-transformers' configuration, else the card, else the architecture.

    A causal decoder is read at its last token, the only one that has seen the whole text. An encoder trained
    by masked language modelling is averaged, which beats its [CLS] as long as nothing trained that token
    (Reimers & Gurevych 2019, table 1); one fine-tuned as a sequence classifier trained it, so it is read.
    """
    if asked != "auto":
        if asked == "latent_attention" and not architecture.latent_attention:
            raise UsageError("pooling: latent_attention needs the weights of an NV-Embed model")
        if asked not in get_args(Pooling):
            raise UsageError(f'pooling: {asked!r} is unknown; use "auto", "mean", "cls" or "last"')
        return asked, "as asked"  # type: ignore[return-value]  # narrowed by get_args
    if architecture.latent_attention:
        return "latent_attention", "the model's own pooling layer"
    if sentence is not None and sentence.unsupported:
        raise UsageError(
            f"pooling: the model's sentence-transformers configuration has {sentence.unsupported}, which "
            'is not supported; set pooling = "mean", "cls" or "last" to use its token states without it'
        )
    if sentence is not None and sentence.pooling:
        return sentence.pooling, "the model's sentence-transformers configuration"
    if card is not None:
        return card.pooling, "the model's card"
    return _pooling_of(architecture)


def _pooling_of(architecture: Architecture) -> tuple[Pooling, str]:
    if architecture.bidirectional:
        return "mean", f"{architecture.model_type} is a decoder in which every token sees the whole text"
    if architecture.kind == "decoder":
        return (
            "last",
            f"{architecture.model_type} is a causal decoder: only its last token saw the whole text",
        )
    if architecture.kind == "encoder" and architecture.classifier:
        return "cls", "fine-tuned as a sequence classifier, which reads the first token"
    if architecture.kind == "encoder":
        return "mean", f"{architecture.model_type} is a bidirectional encoder without a pooling configuration"
    reason = f"neither the files nor the architecture ({architecture.model_type}) says how to pool"
    logger.warning('pooling: mean, because %s; set pooling = "mean", "cls" or "last"', reason)
    return "mean", reason


def choose_prefix(
    asked: str | None, sentence: SentenceConfig | None, card: EncoderCard | None
) -> tuple[str, str]:
    """Asked for, else the card's (E5 knows no default prompt), else the model's default prompt, else none."""
    return _first(
        (asked, "as asked"),
        (card.prefix if card else None, "the model's card"),
        (sentence.prompt if sentence else None, "the model's default prompt"),
        ("", "none known"),
    )


def choose_side_prefix(
    side: Side, asked: str | None, prompts: Prompts, card: EncoderCard | None
) -> tuple[str, str]:
    """What stands before one side of a search: asked for, else the card's, else the model's own prompt."""
    own = prompts.query if side == "query" else prompts.document
    known = (card.query_prefix if side == "query" else card.passage_prefix) if card else None
    return _first(
        (asked, "as asked"),
        (known, f"the model's card, before a {side}"),
        (own, f"the model's prompt for a {side}" if own else "none known"),
    )


def choose_normalize(
    asked: bool | None, sentence: SentenceConfig | None, card: EncoderCard | None
) -> tuple[bool, str]:
    """Asked for, else as the model's modules end, else the card's, else no."""
    return _first(
        (asked, "as asked"),
        (sentence.normalize if sentence else None, "the model's sentence-transformers modules"),
        (card.normalize if card else None, "the model's card"),
        (False, "nothing asks for it"),
    )


def choose_padding_side(asked: str, card: EncoderCard | None) -> tuple[PaddingSide, str]:
    """Asked for, else the card's, else right; vectors are the same either way.

    Raises:
        UsageError: another word.
    """
    if asked not in ("auto", *get_args(PaddingSide)):
        raise UsageError(f'padding_side: {asked!r} is unknown; use "auto", "left" or "right"')
    return _first(
        (None if asked == "auto" else asked, "as asked"),
        (card.padding_side if card else None, "the model's card"),
        ("right", "vectors are the same either way"),
    )


def choose_max_length(
    asked: int | None,
    directory: Path,
    sentence: SentenceConfig | None,
    card: EncoderCard | None,
    architecture: Architecture,
) -> tuple[int, str]:
    """Asked for, else what the model, its card or its tokenizer says, and never more than it has positions for.

    Raises:
        UsageError: fewer than 1 or more than the positions are asked for.
    """
    settings: Mapping[str, Any] = read_json(directory / "tokenizer_config.json") or {}
    limit = architecture.positions
    tokenizer = settings.get("model_max_length")
    length, why = _first(
        (asked, "as asked"),
        (sentence.max_length if sentence else None, "the model's sentence-transformers configuration"),
        (card.max_length if card else None, "the model's card"),
        # An unset length is written as 1e30.
        (int(tokenizer) if tokenizer and tokenizer < 1e9 else None, "the tokenizer's configuration"),
        (limit, "the model's positions"),
        (512, "nothing says; a common length"),
    )
    if limit is not None and length > limit:
        if asked is not None:
            raise UsageError(f"max_length: {asked} is more than the {limit} positions that the model has")
        return limit, "the model's positions"
    if length < 1:
        raise UsageError(f"max_length: {length} must be at least 1")
    return length, why


def _first(*options: tuple[Any, str]) -> tuple[Any, str]:
    """The first option that is not None, with its reason."""
    return next((value, why) for value, why in options if value is not None)
