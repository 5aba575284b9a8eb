"""The hard control: a well-tuned linear model over the very embeddings that a fusion sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.progress import Progress
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.recipe import SourceRecipe

LinearKind = Literal["linear_svm", "logistic_regression"]


@attrs.frozen(eq=False)
class LinearScores:
    """A fitted control's scores.

    Attributes:
        cost: the C chosen on validation.
        tried: validation accuracy of each C tried.
        validation: (rows, classes) float32 decision values or probabilities.
        test: the same for the rows to score.
        probabilistic: True where rows are probabilities.
    """

    cost: float
    tried: Mapping[float, float]
    validation: NDArray[np.float32]
    test: NDArray[np.float32]
    probabilistic: bool


class LinearControl(Protocol):
    """Fits linear models."""

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
        """Fit one model per C in `costs` on train, choose by validation accuracy, score validation and test.

        `recipes` says how sources enter, by name: the columns and weights of a sparse one.
        """
