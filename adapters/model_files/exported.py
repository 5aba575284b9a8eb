"""The directory of an exported encoder: a graph, a tokenizer, and every decision that goes with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs.validators import deep_iterable, deep_mapping, ge, instance_of, matches_re, min_len

from fusionapp.adapters.model_files.checkpoint import hash_files, read_json
from fusionapp.adapters.torch_shared.artefacts import write_whole
from fusionapp.domain.errors import CorruptArtifactError, UsageError

CARD, GRAPH, TOKENIZER = "fusionapp_encoder.json", "model.onnx", "tokenizer.json"
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "text_embedding"
"""What the graph takes, (batch, tokens) int64 padded on the right, and gives, (batch, layers, dim) float32."""

_FORMAT, _VERSION = "fusionapp-encoder", 1
_text, _flag, _whole = instance_of(str), instance_of(bool), instance_of(int)


@attrs.frozen
class ExportedEncoder:
    """What ``fusionapp_encoder.json`` says.

    Attributes:
        model: what the encoder was exported from, as the experiment named it.
        source: fingerprint of that encoder's identity, in float32.
        layers: which hidden states are pooled, in the order of the output's second axis.
        dim: numbers in each.
        pooling: how token states become a vector; done in the graph.
        prefix: what stands before each text; the reader's to add.
        pool_prefix: whether the prefix's tokens take part in the pooling; done in the graph.
        max_length: most tokens, special tokens and prefix included.
        normalize: whether vectors are scaled to length 1; done in the graph.
        lower_case: whether text is lower-cased before the tokenizer.
        int8: whether weights are quantised.
        files: SHA-256 of every other file of the directory, by name.
        parity: how close the graph came to the encoder when it was written.
    """

    model: str = attrs.field(validator=_text)
    source: str = attrs.field(validator=_text)
    layers: list[int] = attrs.field(validator=[min_len(1), deep_iterable(_whole, instance_of(list))])
    dim: int = attrs.field(validator=[_whole, ge(1)])
    pooling: str = attrs.field(validator=_text)
    prefix: str = attrs.field(validator=_text)
    pool_prefix: bool = attrs.field(validator=_flag)
    max_length: int = attrs.field(validator=[_whole, ge(1)])
    normalize: bool = attrs.field(validator=_flag)
    lower_case: bool = attrs.field(validator=_flag)
    int8: bool = attrs.field(validator=_flag)
    files: dict[str, str] = attrs.field(
        validator=deep_mapping(matches_re(r"[A-Za-z0-9_][A-Za-z0-9._-]*"), _text, instance_of(dict))
    )
    parity: Mapping[str, Any] = attrs.field(factory=dict, validator=instance_of(dict))


def write_card(directory: Path, card: ExportedEncoder) -> None:
    """Write the card, whole or not at all."""
    content = {"format": _FORMAT, "version": _VERSION, **attrs.asdict(card)}
    write_whole(directory / CARD, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")


def read_exported(directory: Path) -> ExportedEncoder:
    """The card of a directory, once every file is known to be what was written; nothing of it is loaded.

    Raises:
        UsageError: the directory holds no exported encoder, or one of a later version.
        CorruptArtifactError: the card is damaged, or a file is missing, changed or outside.
    """
    content = read_json(directory / CARD)
    if content is None:
        raise UsageError(
            f"model: {directory} has no {CARD}; write such a directory with `fusionapp export encoder`"
        )
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CorruptArtifactError(
            f"{directory / CARD}: not the card of an exported encoder; export it again"
        )
    if content.get("version") != _VERSION:
        raise UsageError(
            f"{directory / CARD}: version {content.get('version')!r} is not known here; export the encoder again"
        )
    try:
        card = ExportedEncoder(**{key: content[key] for key in content if key not in ("format", "version")})
    except (TypeError, ValueError) as error:
        reason = str(error.args[0] if error.args else error)
        raise CorruptArtifactError(f"{directory / CARD}: {reason}; export the encoder again") from error
    _verify(directory, card)
    return card


def _verify(directory: Path, card: ExportedEncoder) -> None:
    for name in (GRAPH, TOKENIZER, *card.files):
        path = directory / name
        if name not in card.files:
            raise CorruptArtifactError(f"{directory / CARD}: does not name {name}; export the encoder again")
        if not path.is_file():
            raise CorruptArtifactError(f"{path}: is missing; export the encoder again")
        if path.is_symlink() and not path.resolve().is_relative_to(directory.resolve()):
            raise CorruptArtifactError(f"{path}: leads out of {directory}; that is not followed")
        if hash_files([path])[name] != card.files[name]:
            raise CorruptArtifactError(f"{path}: is not what was written; export the encoder again")
