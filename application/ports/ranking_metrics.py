"""Scoring ranked lists against what is known to be relevant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.vector_index import Hits


class RankingMetrics(Protocol):
    """Computes some metrics, query by query, so that comparisons can be paired."""

    def score(
        self, hits: Hits, relevant: Sequence[Mapping[int, int]], metrics: Sequence[str]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Each metric's value for each query.

        Args:
            hits: ranked document rows of each query.
            relevant: for each query, its relevant document rows and their grades (at least 1).
            metrics: names such as ``mrr@10``, ``ndcg@10``, ``recall@100``, ``precision@1``, ``map``.

        Returns:
            By metric: (queries,) in [0, 1].

        Raises:
            UsageError: a metric is unknown here, or its library is missing.
        """
