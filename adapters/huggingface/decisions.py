"""Deciding how a model is used (layers, pooling, prefix, length), each with its reason."""

from __future__ import annotations

from pathlib import Path

import attrs

from fusionapp.adapters.huggingface.architecture import Architecture, read_architecture
from fusionapp.adapters.huggingface.rules import (
    Layers,
    choose_max_length,
    choose_normalize,
    choose_padding_side,
    choose_pooling,
    choose_prefix,
    choose_side_prefix,
    resolve_layers,
)
from fusionapp.adapters.huggingface.sentence_config import Side, read_prompts, read_sentence_config
from fusionapp.adapters.model_files.checkpoint import read_config
from fusionapp.domain.catalogue import EncoderCard, PaddingSide, Pooling
from fusionapp.domain.errors import UsageError


@attrs.frozen
class Wishes:
    """What the user asked for; None and "auto" leave it to the model.

    `side` says whether texts are a search's queries or its documents: many models read each by its own prefix.
    """

    layers: Layers = (-1,)
    pooling: str = "auto"
    prefix: str | None = None
    max_length: int | None = None
    normalize: bool | None = None
    padding_side: str = "auto"
    side: Side | None = None


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
    layers = resolve_layers(wishes.layers, architecture.layers)
    pooling, why_pooling = choose_pooling(wishes.pooling, sentence, card, architecture)
    if wishes.side is None:
        prefix, why_prefix = choose_prefix(wishes.prefix, sentence, card)
    else:
        prefix, why_prefix = choose_side_prefix(wishes.side, wishes.prefix, read_prompts(directory), card)
    max_length, why_length = choose_max_length(wishes.max_length, directory, sentence, card, architecture)
    normalize, why_normalize = choose_normalize(wishes.normalize, sentence, card)
    side, why_side = choose_padding_side(wishes.padding_side, card)
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
