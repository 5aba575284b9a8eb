"""A linear control that needs no fitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearControl, LinearKind, LinearScores
from fusionapp.application.ports.progress import Progress
from fusionapp.domain.embeddings import Embeddings


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


def _first(rows: int, classes: int) -> np.ndarray:
    scores = np.zeros((rows, classes), dtype=np.float32)
    scores[:, 0] = 1
    return scores
