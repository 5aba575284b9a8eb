"""Linear models that need no fitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearControl, LinearKind, LinearScores
from fusionapp.application.ports.linear_path import LinearPath, PathScores
from fusionapp.application.ports.progress import Progress
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.linear_layer import LinearLayer, LinearSource, SparseLinearSource
from fusionapp.domain.recipe import SourceRecipe
from fusionapp.domain.splitting import stratified_folds


class FirstClassControl(LinearControl):
    """Says the first class of every row, and keeps what it was asked to fit.

    Attributes:
        fitted: (kind, source names, train rows) of every fit.
    """

    def __init__(self) -> None:
        self.fitted: list[tuple[str, list[str], int]] = []

    def fit(
        self,
        kind: LinearKind,
        classes: int,
        train: LabelledEmbeddings,
        validation: LabelledEmbeddings,
        test: Mapping[str, Embeddings],
        recipes: Mapping[str, SourceRecipe],
        costs: Sequence[float],
        progress: Progress,
    ) -> LinearScores:
        self.fitted.append((kind, list(train.sources), len(train.labels)))
        right = float((validation.labels == 0).mean())
        return LinearScores(
            cost=costs[0],
            tried=dict.fromkeys(costs, right),
            validation=_first(len(validation.labels), classes),
            test=_first(next(iter(test.values())).shape[0], classes),
            probabilistic=kind == "logistic_regression",
        )


class ClassSharePath(LinearPath):
    """Says of every row how common each class was among the rows that its model saw.

    Attributes:
        fitted: (kind, source names, train rows) of every fit.
    """

    def __init__(self) -> None:
        self.fitted: list[tuple[str, list[str], int]] = []
        self._kept: dict[str, tuple[dict[str, tuple[int, ...]], NDArray[np.float32]]] = {}

    def fit(
        self,
        kind: LinearKind,
        classes: int,
        train: LabelledEmbeddings,
        validation: LabelledEmbeddings,
        recipes: Mapping[str, SourceRecipe],
        costs: Sequence[float],
        folds: int,
        seed: int,
        directory: str,
        progress: Progress,
    ) -> PathScores:
        if not costs or min(costs) <= 0:
            raise UsageError(f"C must be above 0, got {list(costs)}")
        shapes = _shapes(train.sources)
        if shapes != _shapes({name: validation.sources.get(name) for name in shapes}):
            raise UsageError(f"validation has not the sources of train: {shapes}")
        rows = len(train.labels)
        fold = stratified_folds(train.labels, min(folds, rows), seed)
        counts = np.stack(
            [np.bincount(train.labels[fold != part], minlength=classes) for part in range(fold.max() + 1)]
        ).astype(np.float32)
        share = (np.bincount(train.labels, minlength=classes) / rows).astype(np.float32)
        self.fitted.append((kind, list(train.sources), rows))
        self._kept[directory] = shapes, share
        with progress.task(kind, total=1, unit="fits") as bar:
            bar.advance(1)
        accuracy = float((validation.labels == share.argmax()).mean())
        return PathScores(
            cost=min(costs),
            tried=dict.fromkeys(sorted(costs), accuracy),
            train=(counts / counts.sum(1, keepdims=True))[fold],
            validation=np.tile(share, (len(validation.labels), 1)),
        )

    def score(self, directory: str, sources: Mapping[str, Embeddings]) -> NDArray[np.float32]:
        if directory not in self._kept:
            raise CorruptArtifactError(f"{directory}: no linear model; train again")
        shapes, share = self._kept[directory]
        if shapes != _shapes({name: sources.get(name) for name in shapes}):
            raise UsageError(f"linear model: fitted on {shapes}")
        return np.tile(share, (next(iter(sources.values())).shape[0], 1))

    def as_layer(self, directory: str) -> LinearLayer:
        if directory not in self._kept:
            raise CorruptArtifactError(f"{directory}: no linear model; train again")
        shapes, share = self._kept[directory]
        sources: dict[str, LinearSource | SparseLinearSource] = {}
        for name, (dense, *shape) in shapes.items():
            nothing = np.zeros((prod(shape), len(share)), dtype=np.float32)
            every = LexicalWeighting(np.arange(prod(shape)), np.ones(prod(shape), dtype=np.float32))
            sources[name] = LinearSource(nothing, False, 1.0) if dense else SparseLinearSource(nothing, every)
        return LinearLayer(sources, share)


def _shapes(sources: Mapping[str, Embeddings | None]) -> dict[str, tuple[int, ...]]:
    return {
        name: () if each is None else (int(isinstance(each, np.ndarray)), *each.shape[1:])
        for name, each in sources.items()
    }


def _first(rows: int, classes: int) -> NDArray[np.float32]:
    scores = np.zeros((rows, classes), dtype=np.float32)
    scores[:, 0] = 1
    return scores
