"""What a run's weights depend on, in one number."""

from __future__ import annotations

import json
from hashlib import sha256

import attrs
import torch

from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.adapters.model_files.checkpoint import hash_files, tokenizer_files, weight_files
from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.domain.embeddings import fingerprint_texts
from fusionapp.domain.retrieval.recipe import TuningRecipe


def fingerprint_run(
    encoder: TrainableEncoder,
    recipe: TuningRecipe,
    seed: int,
    train: PairSet,
    validation: PairSet,
    processes: int,
    dtype: torch.dtype,
) -> str:
    """Of recipe, seed, data, the encoder's files and settings, and how it is computed.

    How often a checkpoint is written changes no weight; how many processes share a pool changes roundings.
    """
    used = attrs.asdict(recipe, filter=attrs.filters.exclude("checkpoint_steps", "mining"))
    files = [*weight_files(encoder.source), *tokenizer_files(encoder.source), encoder.source / "config.json"]
    parts = {
        "recipe": used,
        "seed": seed,
        "settings": attrs.asdict(encoder.settings, filter=attrs.filters.exclude("cache_dir", "model")),
        "files": hash_files(files),
        "pairs": [_fingerprint_pairs(train), _fingerprint_pairs(validation)],
        "processes": processes,
        "device": encoder.device.type,
        "dtype": str(dtype),
        "torch": torch.__version__,
    }
    return sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _fingerprint_pairs(pairs: PairSet) -> str:
    digest = sha256()
    for texts in (pairs.queries, pairs.documents, pairs.query_ids, pairs.document_ids):
        digest.update(fingerprint_texts(texts).encode())
    for array in (pairs.pairs, pairs.grades, pairs.negatives):
        digest.update(f"{array.shape}".encode() + array.tobytes())
    digest.update(json.dumps([list(pairs.topics), list(pairs.labels)]).encode())
    return digest.hexdigest()
