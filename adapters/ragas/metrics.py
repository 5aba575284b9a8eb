"""ragas's ID-based context precision and recall, query by query."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.ranking_metrics import RankingMetrics
from fusionapp.application.ports.vector_index import Hits
from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.metric_names import check_judged, split_metric

_NAMES = ("ragas_id_precision", "ragas_id_recall")


class RagasMetrics(RankingMetrics):
    """Metrics of the set of hits: ``ragas_id_precision@k`` and ``ragas_id_recall@k``, or of all hits without @k.

    Order and grades do not count, and precision divides by the hits that there are, which may be fewer than k.
    Without any hit ragas gives NaN for precision; here it is 0, as nothing relevant was found.
    """

    def score(
        self, hits: Hits, relevant: Sequence[Mapping[int, int]], metrics: Sequence[str]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Each metric's value for each query; some 0.4 ms each."""
        check_judged(hits.rows, relevant)
        wanted = {name: _parse(name) for name in metrics}
        sample, scorers = _import()
        found = {name: np.zeros(len(relevant)) for name in metrics}
        for name, (base, cutoff) in wanted.items():
            for query, (rows, grades) in enumerate(
                zip(hits.rows[:, :cutoff].tolist(), relevant, strict=True)
            ):
                retrieved = [str(row) for row in rows if row >= 0]
                if retrieved:
                    one = sample(
                        retrieved_context_ids=retrieved, reference_context_ids=[str(row) for row in grades]
                    )
                    found[name][query] = _score(scorers[base], one)
        return found


def _score(scorer: Any, sample: Any) -> float:
    with warnings.catch_warnings():
        # It leaves the file open that names the user to its telemetry, which it reads though that is off.
        warnings.simplefilter("ignore", ResourceWarning)
        return float(scorer.single_turn_score(sample))


def _parse(name: str) -> tuple[str, int | None]:
    base, cutoff = split_metric(name)
    if base not in _NAMES:
        raise UsageError(f"metric {name!r} is not among {', '.join(_NAMES)}, with or without @k")
    return base, cutoff


def _import() -> tuple[Any, dict[str, Any]]:
    """The class of a sample, and a scorer by metric.

    Raises:
        UsageError: the library is not installed.
    """
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"  # read when it is imported: it reports every call otherwise
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it deprecates these names for a module that lacks them
            from ragas import SingleTurnSample
            from ragas.metrics import IDBasedContextPrecision, IDBasedContextRecall

            scorers = {_NAMES[0]: IDBasedContextPrecision(), _NAMES[1]: IDBasedContextRecall()}
    except ImportError as error:
        raise UsageError(
            f"{', '.join(_NAMES)} need ragas: pip install 'fusionapp[eval]' ({error})"
        ) from error
    return SingleTurnSample, scorers
