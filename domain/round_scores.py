"""What several rounds of a protocol are worth together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.metrics import expected_calibration_error
from fusionapp.domain.scores import PREDICTED_METRICS, Judged, Labels, Scores, Summary, deviation, judge
from fusionapp.domain.statistics.bootstrap import bootstrap_classification, interval
from fusionapp.domain.statistics.rounds import bootstrap_draws


def judge_draws(draws: Sequence[Scores], labels: Labels, replicates: int) -> Judged:
    """Few-shot draws, all scored on the same rows: means over draws, intervals over draws and examples.

    Args:
        draws: what each draw's runs (seeds) said of every row.
        labels: (rows,).
        replicates: of the bootstrap.

    Returns:
        Metrics whose `sd` is over the draws' means, replicates that pair with those of another contender of the
        same draws and rows, and each row's share over draws and runs: a text is one however many draws score it.

    Raises:
        UsageError: fewer than two draws.
    """
    values = _by_round(draws, [labels] * len(draws))
    resampled = [
        bootstrap_classification(labels, scores.predicted, scores.probabilities, replicates)
        for scores in draws
    ]
    together = {name: bootstrap_draws(np.stack([one[name] for one in resampled])) for name in values}
    metrics = {}
    for name, value in values.items():
        bounds = interval(together[name])
        metrics[name] = Summary(float(value.mean()), deviation(value), bounds.low, bounds.high)
    right = np.mean([(scores.predicted == labels).mean(axis=0) for scores in draws], axis=0)
    return Judged(metrics, together["accuracy"], right)


def judge_folds(folds: Sequence[Scores], labels: Sequence[Labels], replicates: int) -> Judged:
    """Folds, each scored on its own rows: metrics of all predictions pooled (Forman and Scholz 2010).

    Args:
        folds: what each fold's runs said of its rows; run i of every fold is one run over all rows.
        labels: (rows of the fold,) of each.
        replicates: of the bootstrap over examples.

    Returns:
        Metrics whose `sd` is over the folds' own scores. Folds share training rows, which no interval knows of
        (Bengio and Grandvalet 2004).
    """
    judged = judge(pool(folds), np.concatenate(list(labels)), replicates)
    spread = _by_round(folds, labels)
    metrics = {
        name: attrs.evolve(summary, sd=deviation(spread[name])) for name, summary in judged.metrics.items()
    }
    return attrs.evolve(judged, metrics=metrics)


def pool(folds: Sequence[Scores]) -> Scores:
    """The folds' rows under one another."""
    probabilities = [scores.probabilities for scores in folds if scores.probabilities is not None]
    return Scores(
        np.concatenate([scores.predicted for scores in folds], axis=1),
        np.concatenate(probabilities, axis=1) if len(probabilities) == len(folds) else None,
    )


def _by_round(rounds: Sequence[Scores], labels: Sequence[Labels]) -> dict[str, NDArray[np.float64]]:
    """(rounds,) by metric: the mean over each round's runs."""
    values = {
        name: _means(metric, [scores.predicted for scores in rounds], labels)
        for name, metric in PREDICTED_METRICS.items()
    }
    probabilities = [scores.probabilities for scores in rounds if scores.probabilities is not None]
    if len(probabilities) == len(rounds):
        values["ece"] = _means(expected_calibration_error, probabilities, labels)
    return values


def _means(
    metric: Callable[..., float], said: Sequence[NDArray[np.generic]], labels: Sequence[Labels]
) -> NDArray[np.float64]:
    pairs = zip(labels, said, strict=True)
    return np.array([np.mean([metric(own, run) for run in runs]) for own, runs in pairs])
