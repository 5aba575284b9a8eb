"""A linear model beside a head: its scores are what the head's logits are added to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.application.ports.progress import Progress
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.linear_layer import LinearLayer
from fusionapp.domain.recipe import SourceRecipe


@attrs.frozen(eq=False)
class PathScores:
    """What a fitted linear path says of the rows that heads are trained and chosen on.

    Attributes:
        cost: the C chosen on validation.
        tried: validation accuracy of each C tried.
        train: (rows, classes) float32 decision values, each row's from a model that did not see it.
        validation: (rows, classes) likewise: those of the kept model, which was fitted on train alone.
    """

    cost: float
    tried: Mapping[float, float]
    train: NDArray[np.float32]
    validation: NDArray[np.float32]


class LinearPath(Protocol):
    """Fits linear models for stacking (Wolpert 1992), keeps them, and scores with them."""

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
        """Choose C on validation, keep the model of all of train in `directory`, and score train out of fold.

        Args:
            kind: which linear model.
            classes: how many.
            train: rows to fit on.
            validation: rows to choose C by; nothing is fitted to them.
            recipes: how sources enter, by name; defaults for a source that is not named.
            costs: C values to try.
            folds: parts of train, stratified by class; each is scored by a model of the others.
            seed: of the folds.
            directory: where the model goes.
            progress: told of the fits.

        Raises:
            UsageError: no C, a C that is not above 0, or sources that differ between splits.
        """

    def score(self, directory: str, sources: Mapping[str, Embeddings]) -> NDArray[np.float32]:
        """(rows, classes) float32 decision values of the model kept in a directory.

        Raises:
            CorruptArtifactError: the model is missing or unreadable.
            UsageError: the sources are not those that it was fitted on.
        """

    def as_layer(self, directory: str) -> LinearLayer:
        """The same model as plain numbers, for those who compute it elsewhere.

        Raises:
            CorruptArtifactError: the model is missing or unreadable.
        """
