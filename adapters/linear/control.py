"""Linear SVM and logistic regression over a fusion's own embeddings, C chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.choice import check_costs, choose_cost
from fusionapp.adapters.linear.features import LinearFeatures
from fusionapp.adapters.linear.solver import Solvers
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearControl, LinearKind, LinearScores
from fusionapp.application.ports.progress import Progress
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.linear import Matrix
from fusionapp.domain.normalization import softmax
from fusionapp.domain.recipe import SourceRecipe


@attrs.frozen
class ScipyLinearControl(LinearControl):
    """scikit-learn's LinearSVC and LogisticRegression in the primal, in float32, all classes at once.

    The objectives are scikit-learn's, so C means the same.

    Attributes:
        tolerance: how far weights may be from the solution's, as a share of their length (see `minimize`); at 0.1
            validation accuracy on GoEmotions is that of 0.03.
    """

    tolerance: float = 0.1

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
        """Choose C as `choose_cost` does and score.

        Raises:
            UsageError: no C, a C that is not above 0, or sources that differ between splits.
        """
        check_costs(costs)
        features = LinearFeatures.fit(train.sources, recipes)
        design = features.transform(train.sources)
        held_out, scored = features.transform(validation.sources), features.transform(test)
        solver = Solvers.of(kind, classes, design)(train.labels)
        with progress.task(kind, total=len(set(costs)), unit="fits") as bar:
            best = choose_cost(solver, (held_out, validation.labels), costs, self.tolerance, bar)
        return LinearScores(
            cost=best.cost,
            tried=best.tried,
            validation=_printed(kind, best.validation),
            test=_printed(kind, scored.scores(best.weights)),
            probabilistic=kind == "logistic_regression",
        )


def _printed(kind: LinearKind, scores: Matrix) -> NDArray[np.float32]:
    """Decision values, or probabilities for logistic regression."""
    single = scores.astype(np.float32)
    return softmax(single) if kind == "logistic_regression" else single
