"""A linear model on disk: ``linear.safetensors`` (numbers) beside ``linear.json`` (what they mean)."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from cattrs import Converter
from numpy.typing import NDArray
from safetensors.numpy import load, save

from fusionapp.adapters.linear.features import DenseSource, LinearFeatures, SparseSource
from fusionapp.adapters.torch_shared.described import read_described, read_numbers, write_described
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.linear import Matrix
from fusionapp.domain.standardization import Standardization

FORMAT = 1
WEIGHTS_FILE = "linear.safetensors"
CARD_FILE = "linear.json"
_CONVERTER = Converter(forbid_extra_keys=True)
Tensors = Mapping[str, NDArray[Any]]


@attrs.frozen
class SourceCard:
    """One source in ``linear.json``.

    Attributes:
        name: the encoder's name.
        sparse: True for CSR rows.
        layers: views of a dense source; 1 for a sparse one.
        dim: numbers in a view; the vocabulary of a sparse source.
        kept: columns that a sparse source's weighting keeps; 0 for a dense one.
        sublinear_tf: as `LexicalWeighting`.
        unit_layers: as `DenseSource`.
        standardized: whether means and deviations are kept beside.
        divisor: as `DenseSource`.
    """

    name: str
    sparse: bool
    layers: int
    dim: int
    kept: int = 0
    sublinear_tf: bool = True
    unit_layers: bool = False
    standardized: bool = False
    divisor: float = 1.0


@attrs.frozen
class LinearCard:
    """What ``linear.json`` holds.

    Attributes:
        kind: which linear model.
        cost: its C.
        classes: how many classes.
        sources: in the order of the columns.
        weights_sha256: of linear.safetensors, 64 hex digits.
        format: version of this layout.
    """

    kind: LinearKind
    cost: float
    classes: int
    sources: tuple[SourceCard, ...]
    weights_sha256: str
    format: int = FORMAT


@attrs.frozen(eq=False)
class LinearModel:
    """A fitted linear model.

    Attributes:
        kind: which.
        cost: its C.
        features: how sources become columns.
        weights: (dim, classes) float32, dense columns first, the intercept's at their end, then sparse ones.
    """

    kind: LinearKind
    cost: float
    features: LinearFeatures
    weights: Matrix


def save_linear(directory: str, model: LinearModel) -> None:
    """Write both files, numbers first.

    Raises:
        ResourceError: the directory cannot be written to.
    """
    tensors: dict[str, NDArray[Any]] = {"weights": np.ascontiguousarray(model.weights, dtype=np.float32)}
    cards = []
    for index, (name, source) in enumerate(model.features.sources.items()):
        if isinstance(source, SparseSource):
            weighting = source.weighting
            tensors[f"weighting.{index}.columns"] = weighting.columns
            tensors[f"weighting.{index}.idf"] = weighting.idf
            kept = len(weighting.columns)
            cards.append(SourceCard(name, True, 1, source.dim, kept, weighting.sublinear_tf))
            continue
        standardization = source.standardization
        if standardization is not None:
            tensors[f"standardization.{index}.mean"] = standardization.mean
            tensors[f"standardization.{index}.deviation"] = standardization.deviation
        cards.append(
            SourceCard(
                name,
                sparse=False,
                layers=source.layers,
                dim=source.dim,
                unit_layers=source.unit_layers,
                standardized=standardization is not None,
                divisor=source.divisor,
            )
        )
    content = save(tensors)
    digest = sha256(content).hexdigest()
    card = LinearCard(model.kind, model.cost, model.weights.shape[1], tuple(cards), digest)
    folder = Path(directory)
    write_described(folder / WEIGHTS_FILE, content, folder / CARD_FILE, card, "linear model")


def load_linear(directory: str) -> LinearModel:
    """Read a model back, trusting nothing in it.

    Raises:
        CorruptArtifactError: a file is missing, changed, or does not describe a linear model; names the file.
    """
    folder = Path(directory)
    card = _read_card(folder / CARD_FILE)
    path = folder / WEIGHTS_FILE
    tensors = read_numbers(path, card.weights_sha256, CARD_FILE, load)
    features = LinearFeatures(
        {
            source.name: _sparse(path, index, source, tensors)
            if source.sparse
            else _dense(path, index, source, tensors)
            for index, source in enumerate(card.sources)
        }
    )
    weights = _tensor(path, tensors, "weights", (features.dim, card.classes), np.float32)
    return LinearModel(card.kind, card.cost, features, weights)


def _read_card(path: Path) -> LinearCard:
    card = read_described(path, "linear model", FORMAT, LinearCard, _CONVERTER)
    names = {source.name for source in card.sources}
    sizes = [size for each in card.sources for size in (each.layers, each.dim, each.kept + 1, each.divisor)]
    if not names or len(names) < len(card.sources) or card.classes < 2 or not _positive([card.cost, *sizes]):
        raise CorruptArtifactError(f"{path}: its sources and sizes make no linear model; train again")
    return card


def _positive(numbers: list[float]) -> bool:
    return all(isfinite(number) and number > 0 for number in numbers)


def _sparse(path: Path, index: int, card: SourceCard, tensors: Tensors) -> SparseSource:
    columns = _tensor(path, tensors, f"weighting.{index}.columns", (card.kept,), np.int64)
    idf = _tensor(path, tensors, f"weighting.{index}.idf", (card.kept,), np.float32)
    if card.kept and (columns[0] < 0 or columns[-1] >= card.dim or (np.diff(columns) <= 0).any()):
        raise CorruptArtifactError(f"{path}: the columns of source {card.name!r} are broken; train again")
    return SparseSource(card.dim, LexicalWeighting(columns, idf, card.sublinear_tf))


def _dense(path: Path, index: int, card: SourceCard, tensors: Tensors) -> DenseSource:
    standardization = None
    if card.standardized:
        shape = (card.layers, card.dim)
        mean, deviation = (
            _tensor(path, tensors, f"standardization.{index}.{part}", shape, np.float32)
            for part in ("mean", "deviation")
        )
        if not (deviation > 0).all():
            raise CorruptArtifactError(f"{path}: a deviation of source {card.name!r} is not above 0")
        standardization = Standardization(mean, deviation)
    return DenseSource(card.layers, card.dim, card.unit_layers, card.divisor, standardization)


def _tensor(
    path: Path, tensors: Tensors, name: str, shape: tuple[int, ...], dtype: type[np.generic]
) -> NDArray[Any]:
    found = tensors.get(name)
    if found is None or found.shape != shape or found.dtype != dtype or not np.isfinite(found).all():
        got = "nothing" if found is None else f"{found.dtype} {found.shape}"
        raise CorruptArtifactError(
            f"{path}: {name!r} should be {np.dtype(dtype)} {shape}, all finite, found {got}; train again"
        )
    return found
