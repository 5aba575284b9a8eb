"""A router on disk: ``router.safetensors`` (numbers) beside ``router.json`` (what they mean)."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
from cattrs import Converter
from numpy.typing import NDArray
from safetensors.numpy import load, save

from fusionapp.adapters.torch_shared.described import read_described, read_numbers, write_described
from fusionapp.adapters.torch_shared.router_inputs import InputCard
from fusionapp.domain.errors import CorruptArtifactError

FORMAT = 2
WEIGHTS_FILE = "router.safetensors"
CARD_FILE = "router.json"
Arrays = Mapping[str, NDArray[Any]]
_CONVERTER = Converter(forbid_extra_keys=True)


@attrs.frozen
class RouterCard:
    """What ``router.json`` holds.

    Attributes:
        models: names, in the order of columns.
        inputs: the dense encoders that the network reads.
        features: whether it reads features of the text.
        score: which network.
        hidden_dims: of its layers.
        model_dim: of its model embeddings.
        share: of the network in the scores; the base has the rest of the say where it is below 1.
        calibration: how scores become success.
        temperature: of "temperature".
        seed: which seed.
        best_epoch: the epoch kept, from 1; 0 where `share` is 0.
        epochs: epochs run.
        parameters: trained numbers of the network.
        validation: metrics of the router as it is saved.
        base: what describes the base; None without one.
        weights_sha256: of router.safetensors, 64 hex digits.
        format: version of this layout.
    """

    models: tuple[str, ...]
    inputs: tuple[InputCard, ...]
    features: bool
    score: Literal["mlp", "two_towers"]
    hidden_dims: tuple[int, ...]
    model_dim: int
    share: float
    calibration: Literal["isotonic", "temperature"]
    temperature: float
    seed: int
    best_epoch: int
    epochs: int
    parameters: int
    validation: dict[str, float]
    base: Any
    weights_sha256: str = ""
    format: int = FORMAT


def save_router(directory: str, card: RouterCard, numbers: Arrays) -> None:
    """Write both files, numbers first.

    Raises:
        ResourceError: the directory cannot be written to.
    """
    content = save({name: np.asarray(value, order="C") for name, value in numbers.items()})
    folder = Path(directory)
    told = attrs.evolve(card, weights_sha256=sha256(content).hexdigest())
    write_described(folder / WEIGHTS_FILE, content, folder / CARD_FILE, told, "router")


def load_router(directory: str) -> tuple[RouterCard, Arrays]:
    """Read both files; what the arrays mean to a network or a base is for those to check.

    Raises:
        CorruptArtifactError: a file is missing, changed, or does not describe a router; names the file.
    """
    folder = Path(directory)
    path = folder / CARD_FILE
    card = read_described(path, "router", FORMAT, RouterCard, _CONVERTER)
    widths = [card.model_dim, *card.hidden_dims, *(size for c in card.inputs for size in (c.layers, c.dim))]
    if len(set(card.models)) < len(card.models) or len(card.models) < 2 or min(widths) < 1:
        raise CorruptArtifactError(f"{path}: its models and sizes make no router; train again")
    if not card.hidden_dims or not 0 <= card.share <= 1 or (card.share < 1 and card.base is None):
        raise CorruptArtifactError(f"{path}: a share of {card.share} makes no router; train again")
    if not (isfinite(card.temperature) and card.temperature > 0):
        raise CorruptArtifactError(f"{path}: a temperature of {card.temperature} is none; train again")
    numbers = read_numbers(folder / WEIGHTS_FILE, card.weights_sha256, CARD_FILE, load)
    broken = [n for n, a in numbers.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
    if broken:
        raise CorruptArtifactError(
            f"{folder / WEIGHTS_FILE}: {broken[0]!r} holds a number that is not finite; train again"
        )
    return card, numbers


def part(numbers: Arrays, prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with ``prefix.``, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in numbers.items() if name.startswith(start)}
