"""Linear SVM and logistic regression over a fusion's own embeddings, C chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.features import LinearFeatures
from fusionapp.adapters.linear.newton import minimize
from fusionapp.adapters.linear.preconditioner import Preconditioner
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearControl, LinearKind, LinearScores
from fusionapp.application.ports.progress import Progress
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import UsageError
from fusionapp.domain.linear import Design, LinearProblem, Loss, Matrix, Multinomial, SquaredHinge
from fusionapp.domain.metrics import accuracy
from fusionapp.domain.normalization import softmax

_TOLERANCES: dict[LinearKind, float] = {"linear_svm": 1e-3, "logistic_regression": 1e-2}


@attrs.frozen
class ScipyLinearControl(LinearControl):
    """scikit-learn's LinearSVC and LogisticRegression in the primal, in float32, all classes at once.

    The objectives are scikit-learn's, so C means the same.

    Attributes:
        tolerance: fall of the gradient's norm at which a fit stops; None is 1e-3 for the SVM and 1e-2 for
            logistic regression, below which accuracy no longer moved on GoEmotions.
    """

    tolerance: float | None = None

    def fit(
        self,
        kind: LinearKind,
        classes: int,
        train: LabelledEmbeddings,
        validation: LabelledEmbeddings,
        test: Mapping[str, Embeddings],
        costs: Sequence[float],
        progress: Progress,
    ) -> LinearScores:
        """Fit from the smallest C up, each from the last one's solution; of equal accuracies the smallest C.

        Raises:
            UsageError: no C, a C that is not above 0, or sources that differ between splits.
        """
        if not costs or min(costs) <= 0:
            raise UsageError(f"linear control: C must be above 0, got {list(costs)}; try 0.1, 0.3, 1, 3, 10")
        tolerance = self.tolerance or _TOLERANCES[kind]
        features = LinearFeatures.fit(train.sources)
        design, held_out = features.transform(train.sources), features.transform(validation.sources)
        preconditioner = Preconditioner.of(design)
        loss = _loss(kind, train.labels, classes)
        weights = best = np.zeros((design.dim, classes), dtype=np.float32)
        tried: dict[float, float] = {}
        with progress.task(kind, total=len(set(costs)), unit="fits") as bar:
            for cost in sorted(set(costs)):
                # With two classes scikit-learn fits one weight vector, whose square is twice the two's.
                scaled = cost / 2 if kind == "logistic_regression" and classes == 2 else cost
                problem = LinearProblem(design, loss, scaled)
                weights = minimize(problem, weights, preconditioner, tolerance)
                reached = accuracy(validation.labels, held_out.scores(weights).argmax(1))
                if not tried or reached > max(tried.values()):
                    best = weights
                tried[cost] = reached
                bar.advance(1)
        return LinearScores(
            cost=max(tried, key=lambda cost: tried[cost]),
            tried=tried,
            validation=_printed(kind, held_out, best),
            test=_printed(kind, features.transform(test), best),
            probabilistic=kind == "logistic_regression",
        )


def _loss(kind: LinearKind, labels: NDArray[np.int64], classes: int) -> Loss:
    if kind == "linear_svm":
        return SquaredHinge.of(labels, classes)
    return Multinomial.of(labels, classes)


def _printed(kind: LinearKind, design: Design, weights: Matrix) -> NDArray[np.float32]:
    """Decision values, or probabilities for logistic regression."""
    scores = design.scores(weights).astype(np.float32)
    return softmax(scores) if kind == "logistic_regression" else scores
