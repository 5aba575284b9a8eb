"""What ``config.json`` says a model is, and what in it must not be followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from fusionapp.adapters.model_files.foreign_code import refuse_foreign_kernels
from fusionapp.domain.errors import UsageError

_OFFSET_POSITIONS = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer", "data2vec-text", "ibert"}
)
"""Families whose position table starts with padding's row, so that pad + 1 of its rows are no positions."""

Kind = Literal["encoder", "decoder", "unknown"]
"""A bidirectional encoder, a causal decoder, or neither for certain."""


@attrs.frozen
class Architecture:
    """What a model is.

    Attributes:
        model_type: its family, as transformers names it.
        kind: by its family.
        layers: transformer layers.
        dim: width of a token state.
        positions: most tokens that it has positions for, None where it does not say.
        classifier: whether it was fine-tuned to classify sequences.
        latent_attention: whether it is an NV-Embed model.
        bidirectional: whether a decoder's configuration lets every token see the whole text.
        soft_capped: whether attention logits are capped, for which only the eager path is right.
        native: whether transformers itself has the code.
        own_code: whether its repository brings code.
        foreign_code: whether it names code of another repository, which no revision pins.
    """

    model_type: str
    kind: Kind
    layers: int
    dim: int
    positions: int | None
    classifier: bool = False
    latent_attention: bool = False
    bidirectional: bool = False
    soft_capped: bool = False
    native: bool = True
    own_code: bool = False
    foreign_code: bool = False


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """Understand a ``config.json``.

    Raises:
        UsageError: it says no sizes, is an encoder-decoder, or names an attention kernel to fetch.
    """
    from transformers import CONFIG_MAPPING

    refuse_foreign_kernels(config, "config.json")
    model_type = str(config.get("model_type", ""))
    latent_attention = model_type == "nvembed"
    body = config.get("text_config") or config
    layers = _size(body, "num_hidden_layers", "n_layers", "n_layer", "num_layers")
    dim = _size(body, "hidden_size", "dim", "n_embd", "d_model")
    if layers is None or dim is None:
        raise UsageError(f"model: config.json of type {model_type!r} says neither layers nor hidden size")
    if config.get("is_encoder_decoder"):
        raise UsageError(f"model: {model_type} is an encoder-decoder; use an encoder or a decoder")
    positions = _size(body, "max_position_embeddings", "n_positions")
    if positions is not None and model_type in _OFFSET_POSITIONS:
        positions -= int(config.get("pad_token_id", 1)) + 1
    kind: Kind = "encoder" if latent_attention else _kind(str(body.get("model_type", model_type)))
    return Architecture(
        model_type=model_type,
        kind=kind,
        layers=layers,
        dim=dim,
        positions=positions,
        classifier=any(str(name).endswith("ForSequenceClassification") for name in _names(config)),
        latent_attention=latent_attention,
        bidirectional=kind == "decoder" and body.get("is_causal") is False,
        soft_capped=body.get("attn_logit_softcapping") is not None,
        native=latent_attention or model_type in CONFIG_MAPPING,
        own_code="auto_map" in config,
        foreign_code="--" in str(config.get("auto_map", "")),
    )


def _kind(model_type: str) -> Kind:
    # BERT stands in both tables, because it can be run as a decoder: masked language modelling decides first.
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return "encoder"
    return "decoder" if model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES else "unknown"


def _names(config: Mapping[str, Any]) -> list[Any]:
    return list(config.get("architectures") or [])


def _size(config: Mapping[str, Any], *keys: str) -> int | None:
    return next((int(config[key]) for key in keys if isinstance(config.get(key), int)), None)
