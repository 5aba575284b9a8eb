from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import bootstrap as scipy_bootstrap, norm

from fusionapp.domain import metrics
from fusionapp.domain.errors import UsageError
from fusionapp.domain.statistics.bootstrap import (
    Interval,
    bootstrap_classification,
    bootstrap_mean,
    interval,
    paired_difference,
    resample_weights,
)

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 5, 80)
PROBABILITIES = RNG.dirichlet(np.full(5, 0.5), size=(3, 80))
PREDICTIONS = PROBABILITIES.argmax(-1)


def draws_of(count: int, rows: int = 80, seed: int = 0) -> list[NDArray[np.int64]]:
    """The drawn rows behind the weights, one draw at a time."""
    weights = np.concatenate(list(resample_weights(rows, count, seed)))
    return [np.repeat(np.arange(rows), row.astype(np.int64)) for row in weights]


def test_replicates_agree_with_a_loop_over_draws() -> None:
    replicates = bootstrap_classification(LABELS, PREDICTIONS, PROBABILITIES, draws=20)
    for i, drawn in enumerate(draws_of(20)):
        y = LABELS[drawn]
        for name, metric in [
            ("accuracy", metrics.accuracy),
            ("macro_f1", metrics.macro_f1),
            ("weighted_f1", metrics.weighted_f1),
        ]:
            expected = np.mean([metric(y, p[drawn]) for p in PREDICTIONS])
            assert replicates[name][i] == pytest.approx(expected, rel=1e-5)
        ece = np.mean([metrics.expected_calibration_error(y, p[drawn]) for p in PROBABILITIES])
        assert replicates["ece"][i] == pytest.approx(ece, rel=1e-4)


def test_intervals_agree_with_scipy() -> None:
    right = (PREDICTIONS == LABELS).mean(0)
    oracle = scipy_bootstrap((right,), np.mean, method="percentile", rng=np.random.default_rng(1))
    ours = interval(bootstrap_classification(LABELS, PREDICTIONS)["accuracy"])
    np.testing.assert_allclose([ours.low, ours.high], oracle.confidence_interval, atol=0.01)


def test_a_mean_score_has_the_interval_that_theory_gives() -> None:
    scores = np.random.default_rng(2).normal(size=(1, 2000))
    ours = interval(bootstrap_mean(scores))
    half = norm.ppf(0.975) * scores.std() / 2000**0.5
    np.testing.assert_allclose([ours.low, ours.high], [scores.mean() - half, scores.mean() + half], atol=3e-3)


def test_every_draw_holds_as_many_rows_as_there_are() -> None:
    assert all(len(drawn) == 80 for drawn in draws_of(50))


def test_memory_bound_chunks_draw_every_resample() -> None:
    assert sum(len(chunk) for chunk in resample_weights(1_500_000, 5)) == 5


def test_the_same_seed_draws_the_same_rows() -> None:
    first = bootstrap_classification(LABELS, PREDICTIONS, draws=30, seed=4)
    second = bootstrap_classification(LABELS, PREDICTIONS, draws=30, seed=4)
    np.testing.assert_array_equal(first["macro_f1"], second["macro_f1"])
    assert "ece" not in first


def test_a_result_against_itself_is_no_difference() -> None:
    same = bootstrap_classification(LABELS, PREDICTIONS, draws=200)["accuracy"]
    difference = paired_difference(same, same, 0.4, 0.4, 0)
    assert difference.interval == Interval(0.0, 0.0)
    assert difference.p_value == 1.0


def test_pairing_finds_what_two_intervals_hide() -> None:
    """A classifier that is right on 3 % more rows and wrong on none that the other gets."""
    labels = np.zeros(1000, np.int64)
    weak = (np.arange(1000) % 2)[None]
    strong = np.where(np.arange(1000) < 60, 0, weak)
    first = bootstrap_classification(labels, strong)["accuracy"]
    second = bootstrap_classification(labels, weak)["accuracy"]
    assert interval(first).low < interval(second).high
    difference = paired_difference(first, second, 0.53, 0.5, 30)
    assert difference.interval.low > 0
    assert difference.p_value == pytest.approx(2 / 10_001)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(3)
    small = 0
    for trial in range(200):
        first, second = (bootstrap_mean(rng.normal(size=(1, 60)), 200, trial) for _ in range(2))
        small += paired_difference(first, second, 0.0, 0.0, 60).p_value < 0.1
    assert 5 <= small <= 45


def test_unpaired_draws_are_refused() -> None:
    with pytest.raises(UsageError, match="3 and 2 draws"):
        paired_difference(np.zeros(3), np.zeros(2), 0, 0, 1)


def test_predictions_without_a_seed_dimension_are_refused() -> None:
    with pytest.raises(UsageError, match=r"predictions \(80,\)"):
        bootstrap_classification(LABELS, PREDICTIONS[0])


def test_no_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="no rows"):
        next(resample_weights(0))


@pytest.mark.parametrize("rows", [10, 31, 57])
def test_a_mean_over_five_seeds_that_ties_with_one_run_is_a_tie_in_every_draw(rows: int) -> None:
    rng = np.random.default_rng(rows)
    labels = rng.integers(0, 2, rows)
    control = rng.integers(0, 2, rows)
    first = bootstrap_classification(labels, np.stack([control] * 5), draws=500)["accuracy"]
    second = bootstrap_classification(labels, control[None], draws=500)["accuracy"]

    assert np.array_equal(first, second)
    assert paired_difference(first, second, 0.5, 0.5, 0).p_value == 1.0


def test_seeds_that_err_in_turn_tie_exactly_where_their_mean_does() -> None:
    """Five seeds of which each errs on a fifth of the rows, beside a run that errs on one in five."""
    rows, draws = 25, 400
    labels = np.zeros(rows, dtype=np.int64)
    seeds = np.stack([(np.arange(rows) % 5 == seed).astype(np.int64) for seed in range(5)])
    accuracy = bootstrap_classification(labels, seeds, draws=draws)["accuracy"]

    np.testing.assert_array_equal(accuracy, np.full(draws, 0.8))
