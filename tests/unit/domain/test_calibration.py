"""Temperatures and scales against a grid, scikit-learn, and what scaling the logits must do to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    fit_scale,
    fit_temperature,
)

WEIGHTS = np.array([0.2, 1.0, 3.0], dtype=np.float32)


def rows(
    seed: int = 0, count: int = 200, spread: float = 2.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits of three classes, and labels drawn from softmax(logits / spread)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3)).astype(np.float32) * 3
    noise = rng.gumbel(size=logits.shape)
    return logits, (logits / spread + noise).argmax(1)


def looped(
    scale: float, logits: NDArray[np.float32], labels: NDArray[np.int64], weights: NDArray[np.float32]
) -> float:
    total = 0.0
    rows, classes = logits.shape
    for row, label in zip(logits.astype(np.float64) * scale, labels, strict=True):
        for one in range(classes):
            target = (weights[label] * (one == label) * rows + weights[one] * 0.5 / classes) / (rows + 0.5)
            total += target * (np.log(np.exp(row).sum()) - row[one])
    return total / float(weights[labels].sum())


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_scale_is_the_lowest_point_of_a_grid(weights: NDArray[np.float32] | None) -> None:
    logits, labels = rows()
    found = fit_scale(logits, labels, weights)
    grid = found * np.array([0.95, 0.99, 0.999, 1.0, 1.001, 1.01, 1.05])
    given_weights = np.ones(3, dtype=np.float32) if weights is None else weights
    losses = [looped(scale, logits, labels, given_weights) for scale in grid]
    assert int(np.argmin(losses)) == 3


def test_class_weights_change_the_scale() -> None:
    logits, labels = rows()
    assert fit_scale(logits, labels, WEIGHTS) != pytest.approx(fit_scale(logits, labels), rel=1e-3)


@pytest.mark.parametrize("spread", [0.5, 1.0, 4.0])
def test_over_many_rows_the_temperature_agrees_with_scikit_learn(spread: float) -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression

    logits, labels = rows(count=5_000, spread=spread)
    model = LogisticRegression().fit(logits, labels)  # only a shell around the identity
    model.coef_, model.intercept_ = np.eye(3), np.zeros(3)
    oracle = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(logits, labels)
    inverse = oracle.calibrated_classifiers_[0].calibrators[0].beta_
    assert fit_temperature(logits, labels) == pytest.approx(1 / inverse, rel=3e-3)


@given(st.integers(0, 100), st.floats(0.3, 3.0))
def test_sharper_logits_get_a_higher_temperature_in_proportion(seed: int, factor: float) -> None:
    logits, labels = rows(seed)
    scaled = fit_temperature(logits * np.float32(factor), labels)
    assert scaled == pytest.approx(fit_temperature(logits, labels) * factor, rel=1e-3)


@given(st.integers(0, 100), st.integers(1, 4))
def test_a_handful_of_rows_keeps_the_temperature_within_bounds(seed: int, count: int) -> None:
    logits, labels = rows(seed, count)
    slack = 1e-4
    assert LOWEST_TEMPERATURE - slack <= fit_temperature(logits, labels) <= HIGHEST_TEMPERATURE + slack


@pytest.mark.parametrize("copies", [1, 5, 100])
def test_rows_that_are_all_right_are_as_sure_as_their_number_allows(copies: int) -> None:
    """By Laplace's rule with half a row of doubt: n right answers of n make (n + 0.5 / classes) / (n + 0.5)."""
    logits, labels = np.tile(np.eye(3, dtype=np.float32), (copies, 1)), np.tile(np.arange(3), copies)
    count = len(labels)
    raised = np.exp(logits[0] * fit_scale(logits, labels))
    assert raised[0] / raised.sum() == pytest.approx((count + 0.5 / 3) / (count + 0.5), rel=1e-4)


def test_rows_that_are_all_wrong_end_at_a_bound() -> None:
    logits = np.eye(3, dtype=np.float32)
    assert fit_temperature(logits, np.array([1, 2, 0])) == pytest.approx(HIGHEST_TEMPERATURE, rel=1e-3)


def test_calibrated_logits_of_many_classes_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(650, 52)).astype(np.float32) * 6
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    assert fit_temperature(logits, labels) == pytest.approx(1.0, abs=0.1)


def test_rows_that_are_right_by_a_hair_end_at_the_other_bound() -> None:
    logits = np.eye(3, dtype=np.float32) * np.float32(1e-3)
    assert fit_temperature(logits, np.arange(3)) == pytest.approx(LOWEST_TEMPERATURE, rel=1e-3)


def test_calibration_lowers_the_loss_and_keeps_the_prediction() -> None:
    logits, labels = rows(spread=5.0)
    ones = np.ones(3, dtype=np.float32)
    temperature = fit_temperature(logits, labels)
    assert looped(1 / temperature, logits, labels, ones) < looped(1.0, logits, labels, ones)
    assert ((logits / temperature).argmax(1) == logits.argmax(1)).all()


def test_scores_without_a_signal_get_a_finite_scale() -> None:
    assert np.isfinite(fit_scale(np.zeros((4, 3), dtype=np.float32), np.array([0, 1, 2, 0])))
