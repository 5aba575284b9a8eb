"""nDCG, reciprocal rank, average precision, recall and precision by the ir-measures library, query by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.ranking_metrics import RankingMetrics
from fusionapp.application.ports.vector_index import Hits
from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.metric_names import check_judged, split_metric

_NAMES = {"recall": "R", "precision": "P", "mrr": "RR", "ndcg": "nDCG"}


class IrMeasures(RankingMetrics):
    """What trec_eval computes: nDCG with grades as gains and log2 discounts.

    The order is that of the hits: the library would break ties of scores by document name, and is therefore given
    ranks for scores. ``map`` looks at all hits. A query without hits scores 0.
    """

    def score(
        self, hits: Hits, relevant: Sequence[Mapping[int, int]], metrics: Sequence[str]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Each metric's value for each query."""
        check_judged(hits.rows, relevant)
        library = _import()
        measures = {name: library.parse_measure(_measure(name)) for name in metrics}
        judged = {
            str(query): {str(row): grade for row, grade in of.items()} for query, of in enumerate(relevant)
        }
        run = {
            str(query): {str(row): -float(rank) for rank, row in enumerate(rows) if row >= 0}
            for query, rows in enumerate(hits.rows.tolist())
        }
        found = {name: np.zeros(len(relevant)) for name in metrics}
        if not measures or not judged:
            return found
        names = {measure: name for name, measure in measures.items()}
        for value in library.iter_calc(list(measures.values()), judged, run):
            found[names[value.measure]][int(value.query_id)] = value.value
        return found


def _measure(name: str) -> str:
    if name == "map":
        return "AP"
    base, cutoff = split_metric(name)
    if base not in _NAMES or cutoff is None:
        known = ", ".join(f"{one}@k" for one in _NAMES)
        raise UsageError(f"metric {name!r} is not among {known} and map")
    return f"{_NAMES[base]}@{cutoff}"


def _import() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise UsageError("ranking metrics need ir-measures: pip install 'fusionapp[retrieve]'") from error
    return ir_measures
