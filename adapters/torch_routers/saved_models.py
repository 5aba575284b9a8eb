"""Model embeddings on their own: ``model_embeddings.safetensors`` beside a JSON file with the models' names."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import attrs
import numpy as np
from cattrs import Converter
from numpy.typing import NDArray
from safetensors.numpy import load, save

from fusionapp.adapters.torch_shared.described import read_described, read_numbers, write_described
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.comparisons import positions

FOLDER = "model_embeddings"
WEIGHTS_FILE, CARD_FILE = "model_embeddings.safetensors", "model_embeddings.json"
FORMAT = 1
Floats = NDArray[np.float32]
_CONVERTER = Converter(forbid_extra_keys=True)


@attrs.frozen
class ModelEmbeddingsCard:
    """What ``model_embeddings.json`` holds.

    Attributes:
        models: names, in the order of rows.
        method: how they were trained: "triplet", "attention" or "learned".
        seed: by which seed.
        weights_sha256: of the numbers, 64 hex digits.
        format: version of this layout.
    """

    models: tuple[str, ...]
    method: str
    seed: int
    weights_sha256: str
    format: int = FORMAT


def save_model_embeddings(
    directory: str, models: Sequence[str], embeddings: Floats, method: str, seed: int
) -> None:
    """Write both files into the folder `FOLDER` of a router's directory.

    Raises:
        ResourceError: the directory cannot be written to.
    """
    content = save({"embeddings": np.ascontiguousarray(embeddings, dtype=np.float32)})
    card = ModelEmbeddingsCard(tuple(models), method, seed, sha256(content).hexdigest())
    folder = Path(directory, FOLDER)
    write_described(folder / WEIGHTS_FILE, content, folder / CARD_FILE, card, "set of model embeddings")


def load_model_embeddings(directory: str, models: Sequence[str]) -> Floats:
    """(models, dim) float32 of these models, in their order.

    Args:
        directory: what `save_model_embeddings` wrote, a router's directory, or a run's, of which the first
            router's are taken.
        models: names.

    Raises:
        UsageError: there are none, or a model is not among them.
        CorruptArtifactError: they cannot be read.
    """
    folder = _find(Path(directory))
    card = read_described(
        folder / CARD_FILE, "set of model embeddings", FORMAT, ModelEmbeddingsCard, _CONVERTER
    )
    path = folder / WEIGHTS_FILE
    numbers = read_numbers(path, card.weights_sha256, CARD_FILE, load)
    found = numbers.get("embeddings")
    if (
        found is None
        or found.dtype != np.float32
        or found.ndim != 2
        or len(found) != len(card.models)
        or not found.size
        or not np.isfinite(found).all()
    ):
        raise CorruptArtifactError(f"{path}: holds no embeddings of {len(card.models)} models; train again")
    try:
        rows = positions(models, card.models)
    except UsageError as error:
        raise UsageError(
            f"load_embedding_model_from: {folder}: {error}; train it over these models, or leave it out"
        ) from error
    taken: Floats = found[rows]
    return taken


def _find(directory: Path) -> Path:
    candidates = [directory, directory / FOLDER, *sorted(directory.glob(f"models/seed-*/{FOLDER}"))]
    for folder in candidates:
        if (folder / CARD_FILE).exists():
            return folder
    raise UsageError(
        f"load_embedding_model_from: {directory} holds no {CARD_FILE}; name a run or router that was trained with "
        "model embeddings"
    )
