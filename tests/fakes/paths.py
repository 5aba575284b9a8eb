"""A linear path that needs no fitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from fakes.heads import flattened
from numpy.typing import NDArray

from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.application.ports.linear_path import LinearPath, PathScores
from fusionapp.application.ports.progress import Progress
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.linear_layer import LinearLayer
from fusionapp.domain.recipe import SourceRecipe


class RandomPath(LinearPath):
    """Weights drawn by the source's name, and an intercept: affine in every source, as a path is.

    Attributes:
        classes: how many it scores.
    """

    def __init__(self, classes: int = 3) -> None:
        self.classes = classes

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
        scores = [self.score(directory, split.sources) for split in (train, validation)]
        return PathScores(costs[0], {costs[0]: 0.0}, *scores)

    def score(self, directory: str, sources: Mapping[str, Embeddings]) -> NDArray[np.float32]:
        parts = [flattened(values) @ self.weights(name, values) for name, values in sources.items()]
        scores: NDArray[np.float64] = np.sum(parts, axis=0) + self.intercept
        return scores.astype(np.float32)

    def as_layer(self, directory: str) -> LinearLayer:
        raise CorruptArtifactError(f"{directory}: a path drawn by names keeps no model")

    def weights(self, name: str, embeddings: Embeddings) -> NDArray[np.float64]:
        """(columns, classes) of one source."""
        drawn = np.random.default_rng(list(name.encode()))
        return drawn.normal(size=(flattened(embeddings).shape[1], self.classes))

    @property
    def intercept(self) -> NDArray[np.float64]:
        """(classes,)."""
        return np.arange(self.classes) / 10
