"""Draws and examples are resampled together; folds are pooled."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from fusionapp.domain.errors import UsageError
from fusionapp.domain.metrics import accuracy, expected_calibration_error, macro_f1, weighted_f1
from fusionapp.domain.round_scores import judge_draws, judge_folds, pool
from fusionapp.domain.scores import Scores, compare, judge
from fusionapp.domain.statistics.bootstrap import (
    bootstrap_classification,
    bootstrap_mean,
    resample_weights,
)
from fusionapp.domain.statistics.rounds import bootstrap_draws, draw_weights

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 60)
ROUNDS = [Scores.of(RNG.dirichlet(np.full(4, 0.7), size=(2, 60)).astype(np.float32)) for _ in range(5)]


def test_replicates_agree_with_a_loop_over_draws_and_examples() -> None:
    judged = judge_draws(ROUNDS, LABELS, replicates=12)
    examples = np.concatenate(list(resample_weights(60, 12)))
    weights = draw_weights(5, 12)
    for i in range(12):
        rows = np.repeat(np.arange(60), examples[i].astype(int))
        taken = np.repeat(np.arange(5), np.rint(weights[i] * 4).astype(int))
        hits = [
            np.mean([accuracy(LABELS[rows], run[rows]) for run in ROUNDS[draw].predicted]) for draw in taken
        ]
        assert judged.accuracy_replicates[i] == pytest.approx(np.mean(hits), rel=1e-5)


def test_means_and_deviations_are_over_draws() -> None:
    judged = judge_draws(ROUNDS, LABELS, replicates=50)
    for name, metric in (("accuracy", accuracy), ("macro_f1", macro_f1), ("weighted_f1", weighted_f1)):
        by_draw = [np.mean([metric(LABELS, run) for run in scores.predicted]) for scores in ROUNDS]
        assert judged.metrics[name].mean == pytest.approx(np.mean(by_draw))
        assert judged.metrics[name].sd == pytest.approx(np.std(by_draw, ddof=1))


def test_the_interval_is_the_one_that_theory_gives_for_crossed_effects() -> None:
    """Score of draw d on example i is a_d + b_i: the mean's variance is var(a) / draws + var(b) / examples."""
    rng = np.random.default_rng(1)
    by_draw, by_example = rng.normal(0, 1.0, 12), rng.normal(0, 2.0, 150)
    replicates = bootstrap_draws(
        np.stack([bootstrap_mean((effect + by_example)[None], 15_000) for effect in by_draw])
    )
    expected = (by_draw.var(ddof=1) / 12 + by_example.var() / 150) ** 0.5
    assert replicates.std() == pytest.approx(expected, rel=0.03)
    low, high = np.percentile(replicates, [2.5, 97.5])
    assert high - low == pytest.approx(2 * norm.ppf(0.975) * expected, rel=0.05)


def test_draws_that_agree_leave_the_interval_of_the_examples() -> None:
    same = [ROUNDS[0]] * 4
    alone = bootstrap_classification(LABELS, ROUNDS[0].predicted, draws=300)["accuracy"]
    np.testing.assert_allclose(judge_draws(same, LABELS, 300).accuracy_replicates, alone)


def test_draws_that_vary_widen_the_interval() -> None:
    right = Scores(LABELS[None])
    wrong = Scores(((LABELS + 1) % 4)[None])
    one = judge_draws([right, wrong, right, wrong], LABELS, 500).metrics["accuracy"]
    assert (one.mean, one.low, one.high) == (0.5, 0.0, 1.0)


def test_contenders_of_the_same_draws_and_examples_stay_paired() -> None:
    """One is right wherever the other is, and on one more example in every draw, however much draws vary."""
    y = np.zeros(200, np.int64)
    weak, strong = [], []
    for draw, right in enumerate((20, 90, 150, 60, 180)):
        said = (np.random.default_rng(draw).permutation(200) >= right).astype(np.int64)
        better = said.copy()
        better[np.flatnonzero(said)[:10]] = 0
        weak.append(Scores(said[None]))
        strong.append(Scores(better[None]))
    first, second = judge_draws(strong, y, 2000), judge_draws(weak, y, 2000)
    assert first.metrics["accuracy"].low < second.metrics["accuracy"].high
    assert compare(first, second).interval.low > 0


@pytest.mark.parametrize("draws", [2, 3, 10])
def test_weights_sum_to_one_and_their_variance_is_that_of_a_sample_mean(draws: int) -> None:
    weights = draw_weights(draws, 40_000)
    np.testing.assert_allclose(weights.sum(1), 1.0)
    values = np.arange(draws, dtype=float)
    assert (weights @ values).var() == pytest.approx(values.var(ddof=1) / draws, rel=0.03)


def test_a_single_draw_is_refused() -> None:
    with pytest.raises(UsageError, match="1 draws do not tell"):
        judge_draws(ROUNDS[:1], LABELS, 100)


def fold(rows: NDArray[np.int64], scores: Scores) -> Scores:
    assert scores.probabilities is not None
    return Scores(scores.predicted[:, rows], scores.probabilities[:, rows])


def test_folds_are_judged_as_one_set_of_predictions_and_spread_over_folds() -> None:
    parts = np.array_split(np.arange(60), 4)
    folds, labels = [fold(rows, ROUNDS[0]) for rows in parts], [LABELS[rows] for rows in parts]
    judged, whole = judge_folds(folds, labels, 200), judge(ROUNDS[0], LABELS, 200)
    np.testing.assert_array_equal(judged.accuracy_replicates, whole.accuracy_replicates)
    for name, summary in judged.metrics.items():
        expected = whole.metrics[name]
        assert (summary.mean, summary.low, summary.high) == (expected.mean, expected.low, expected.high)
    own = [np.mean([accuracy(y, run) for run in one.predicted]) for one, y in zip(folds, labels, strict=True)]
    assert judged.metrics["accuracy"].sd == pytest.approx(np.std(own, ddof=1))
    gaps = [
        np.mean([expected_calibration_error(y, run) for run in one.probabilities])  # type: ignore[union-attr]
        for one, y in zip(folds, labels, strict=True)
    ]
    assert judged.metrics["ece"].sd == pytest.approx(np.std(gaps, ddof=1))


def test_folds_without_probabilities_have_no_calibration() -> None:
    folds = [Scores(scores.predicted) for scores in ROUNDS[:2]]
    assert pool(folds).probabilities is None
    assert "ece" not in judge_folds(folds, [LABELS, LABELS], 100).metrics
    assert "ece" not in judge_draws(folds, LABELS, 100).metrics
