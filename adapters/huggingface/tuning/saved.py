"""A tuned encoder on disk, as sentence-transformers, text-embeddings-inference and fusionapp open it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import save_file

from fusionapp.adapters.huggingface.tuning.merging import merged_weights
from fusionapp.adapters.huggingface.tuning.methods import ADAPTER
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder, inner_body
from fusionapp.adapters.model_files.checkpoint import read_config, read_json, tokenizer_files
from fusionapp.adapters.model_files.source import find_source
from fusionapp.domain.errors import ResourceError, UsageError

README = "README.md"

_POOLING_NAMES = {"mean": "mean", "cls": "cls", "last": "lasttoken"}

_OLD_MODES = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""The keys that text-embeddings-inference and sentence-transformers up to 5 read."""


def save_tuned(
    encoder: TrainableEncoder,
    directory: str | Path,
    similarity: Literal["cosine", "dot"] = "cosine",
    card: str | None = None,
) -> None:
    """Write ``directory/model``, and ``directory/adapter`` where ``finetuning.save`` asks for it.

    Raises:
        UsageError: something else is at that place.
        ResourceError: the disk is full.
    """
    place = Path(directory)
    save_encoder(encoder, place / "model", similarity, card)
    if encoder.finetuning.save == "adapter":
        save_adapter(encoder, place / "adapter", card)


def save_encoder(
    encoder: TrainableEncoder,
    directory: str | Path,
    similarity: Literal["cosine", "dot"] = "cosine",
    card: str | None = None,
) -> None:
    """Write the whole encoder in float32, adapters merged; an older one at that place is replaced.

    Args:
        encoder: as it is to be kept; it can be trained on.
        directory: where to.
        similarity: how its embeddings are compared; for cosine they are scaled to length 1.
        card: what its ``README.md`` says.

    Raises:
        UsageError: something else is at that place.
        ResourceError: the disk is full.
    """
    _replace(Path(directory), lambda draft: _write_encoder(encoder, draft, similarity, card))


def save_adapter(encoder: TrainableEncoder, directory: str | Path, card: str | None = None) -> None:
    """Write the adapters alone, as `peft.PeftModel.from_pretrained` opens them over the base model.

    Raises:
        UsageError: the encoder has none, or something else is at that place.
        ResourceError: the disk is full.
    """
    if not encoder.adapted:
        raise UsageError(
            f"finetuning.save: {encoder.finetuning.method!r} trains the model's own weights and has no adapter; "
            'set it to "merged"'
        )
    _replace(Path(directory), lambda draft: _write_adapter(encoder, draft, card))


def _write_encoder(encoder: TrainableEncoder, draft: Path, similarity: str, card: str | None) -> None:
    save_file(merged_weights(encoder), draft / "model.safetensors", {"format": "pt"})
    _write_json(draft / "config.json", _model_config(encoder))
    _write_tokenizer(encoder.source, draft)
    for name, content in sentence_files(encoder, similarity).items():
        _write_json(draft / name, content)
    if card is not None:
        (draft / README).write_text(card, encoding="utf-8")


def _write_tokenizer(source: Path, draft: Path) -> None:
    """The tokenizer's files as they are; one without a padding token gets one, or nobody could encode a batch."""
    from transformers import AutoTokenizer

    for path in tokenizer_files(source):
        shutil.copyfile(path, draft / path.name)
    tokenizer: Any = AutoTokenizer.from_pretrained(draft, local_files_only=True)
    token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None and token is not None:
        settings = read_json(draft / "tokenizer_config.json") or {}
        _write_json(draft / "tokenizer_config.json", settings | {"pad_token": str(token)})


def _model_config(encoder: TrainableEncoder) -> dict[str, Any]:
    """The model's own configuration: the dropout of training and the 4 bits are no part of what is saved."""
    content: dict[str, Any] = {**read_config(encoder.source)}
    content |= {"architectures": [type(inner_body(encoder.body)).__name__], "dtype": "float32"}
    for stale in ("torch_dtype", "quantization_config", "_name_or_path", "auto_map"):
        content.pop(stale, None)
    if encoder.bidirectional:
        content["is_causal"] = False
    return content


def sentence_files(encoder: TrainableEncoder, similarity: str) -> dict[str, Any]:
    """What sentence-transformers reads, by file name, in a layout that its versions 2 to 6 know.

    The pooling is written in both of its layouts: from version 6 on one key names the mode, and
    text-embeddings-inference still wants a boolean each.
    """
    decisions = encoder.decisions
    mode = _POOLING_NAMES[decisions.pooling]
    settings = encoder.settings
    normalize = settings.normalize if settings.normalize is not None else similarity == "cosine"
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] * normalize)]
    return {
        "modules.json": [
            {"idx": row, "name": str(row), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for row, (path, kind) in enumerate(modules)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": encoder.dim,
            **{key: each == mode for each, key in _OLD_MODES.items()},
            "include_prompt": decisions.pool_prefix,
            "embedding_dimension": encoder.dim,
            "pooling_mode": mode,
        },
        "sentence_bert_config.json": {
            "max_seq_length": decisions.max_length,
            "do_lower_case": decisions.lower_case,
        },
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "prompts": {"query": encoder.prefixes["query"], "document": encoder.prefixes["document"]},
            "default_prompt_name": None,
            "similarity_fn_name": similarity,
        },
    }


def _write_adapter(encoder: TrainableEncoder, draft: Path, card: str | None) -> None:
    body: Any = encoder.body
    config = body.peft_config[ADAPTER]
    config.base_model_name_or_path = find_source(encoder.settings.model).model
    config.revision = encoder.settings.revision
    # Embeddings are never adapted, and to find that out PEFT would ask the hub.
    body.save_pretrained(draft, safe_serialization=True, save_embedding_layers=False)
    (draft / README).unlink(missing_ok=True)  # PEFT's is a form to fill in
    if card is not None:
        (draft / README).write_text(card, encoding="utf-8")


def _write_json(path: Path, content: Mapping[str, Any] | list[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _replace(place: Path, write: Callable[[Path], None]) -> None:
    """Write a directory beside its place, flush it and move it there: whole or not at all."""
    if place.exists() and not _is_ours(place):
        raise UsageError(f"{place}: something else is there already; name a new directory")
    draft, old = (place.absolute().with_name(f".{place.name}.{kind}") for kind in ("tmp", "old"))
    try:
        _settle(place, draft, old)
        draft.mkdir(parents=True)
        write(draft)
        for path in (*draft.rglob("*"), draft):
            _sync(path)
        if place.exists():
            place.rename(old)
        draft.rename(place)
        _sync(place.parent)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResourceError(
            f"{place}: cannot be written ({reason}); free space or choose another place"
        ) from error
    finally:
        _settle(place, draft, old)


def _settle(place: Path, draft: Path, old: Path) -> None:
    """Clear what a write left behind, also one that was killed between its two renames."""
    if old.exists() and not place.exists():
        old.rename(place)
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _is_ours(place: Path) -> bool:
    """A directory without files, or one that an earlier call wrote."""
    if not place.is_dir():
        return False
    names = {path.name for path in place.iterdir()}
    written = bool(names & {"modules.json", "adapter_config.json"})
    return written or not any(path.is_file() for path in place.rglob("*"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
