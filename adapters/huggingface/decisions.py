"""Deciding how a model is used (layers, pooling, prefix, length), each with its reason."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

from fusionapp.adapters.huggingface.architecture import Architecture, read_architecture
from fusionapp.adapters.huggingface.checkpoint import read_config, read_json
from fusionapp.adapters.huggingface.sentence_config import SentenceConfig, read_sentence_config
from fusionapp.domain.catalogue import EncoderCard, PaddingSide, Pooling
from fusionapp.domain.errors import UsageError

logger = logging.getLogger("fusionapp")

Layers = tuple[int, ...] | Literal["all"]


@attrs.frozen
class Wishes:
    """What the user asked for; None and "auto" leave it to the model."""

    layers: Layers = (-1,)
    pooling: str = "auto"
    prefix: str | None = None
    max_length: int | None = None
    normalize: bool | None = None
    padding_side: str = "auto"


@attrs.frozen
class Decisions:
    """How a model is used.

    Attributes:
        layers: indices into the hidden states: 0 is the token embedding, `architecture.layers` the last.
        pooling: how token states become a vector.
        prefix: what stands before each text.
        pool_prefix: whether the prefix's tokens take part in the pooling.
        max_length: most tokens, special tokens and prefix included.
        normalize: whether each layer's vector is scaled to length 1.
        padding_side: which side is padded.
        lower_case: whether text is lower-cased before the tokenizer.
        architecture: what the model is.
        reasons: why, one line each.
    """

    layers: tuple[int, ...]
    pooling: Pooling
    prefix: str
    pool_prefix: bool
    max_length: int
    normalize: bool
    padding_side: PaddingSide
    lower_case: bool
    architecture: Architecture
    reasons: tuple[str, ...]


def decide(directory: Path, card: EncoderCard | None, wishes: Wishes) -> Decisions:
    """Settle every choice: as asked, else by the model's own configuration, its card, its architecture.

    Raises:
        UsageError: a layer that the model lacks, an unknown pooling, a length out of range, or a
            sentence-transformers module that is not followed here.
    """
    architecture = read_architecture(read_config(directory))
    sentence = None if architecture.latent_attention else read_sentence_config(directory)
    pooling, why_pooling = _pooling(wishes.pooling, sentence, card, architecture)
    prefix, why_prefix = _first(
        (wishes.prefix, "as asked"),
        (card.prefix if card else None, "the model's card"),
        (sentence.prompt if sentence else None, "the model's default prompt"),
        ("", "none known"),
    )
    max_length, why_length = _max_length(wishes.max_length, directory, sentence, card, architecture)
    normalize, why_normalize = _first(
        (wishes.normalize, "as asked"),
        (sentence.normalize if sentence else None, "the model's sentence-transformers modules"),
        (card.normalize if card else None, "the model's card"),
        (False, "nothing asks for it"),
    )
    side, why_side = _first(
        (None if wishes.padding_side == "auto" else wishes.padding_side, "as asked"),
        (card.padding_side if card else None, "the model's card"),
        ("right", "exact for causal and bidirectional attention"),
    )
    if side not in get_args(PaddingSide):
        raise UsageError(f'padding_side: {side!r} is unknown; use "auto", "left" or "right"')
    layers = resolve_layers(wishes.layers, architecture.layers)
    if pooling == "latent_attention" and layers != (architecture.layers,):
        raise UsageError(
            "layers: latent attention was trained on the last layer alone; set layers = [-1], or "
            'pooling = "mean" for others'
        )
    return Decisions(
        layers=layers,
        pooling=pooling,
        prefix=prefix,
        pool_prefix=pooling != "latent_attention" and (sentence is None or sentence.pool_prompt),
        max_length=max_length,
        normalize=normalize,
        padding_side=side,
        lower_case=bool(sentence and sentence.lower_case),
        architecture=architecture,
        reasons=(
            f"layers: {', '.join(map(str, layers))} of {architecture.layers}, {architecture.dim} wide",
            f"pooling: {pooling} ({why_pooling})",
            f"prefix: {prefix!r} ({why_prefix})",
            f"max length: {max_length} tokens ({why_length})",
            f"normalize: {'yes' if normalize else 'no'} ({why_normalize})",
            f"padding side: {side} ({why_side})",
        ),
    )


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


def _pooling(
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


def _max_length(
    asked: int | None,
    directory: Path,
    sentence: SentenceConfig | None,
    card: EncoderCard | None,
    architecture: Architecture,
) -> tuple[int, str]:
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
