from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from sklearn import metrics as oracle

from fusionapp.domain.errors import UsageError
from fusionapp.domain.metrics import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    weighted_f1,
)

Classes = NDArray[np.int64]

rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40).map(
    lambda pairs: tuple(np.array(side) for side in zip(*pairs, strict=True))
)


def probabilities(seed: int, count: int = 50, classes: int = 4) -> NDArray[np.float64]:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), size=count)


@given(rows)
def test_scores_agree_with_scikit_learn(pair: tuple[Classes, Classes]) -> None:
    y, p = pair
    assert accuracy(y, p) == pytest.approx(oracle.accuracy_score(y, p))
    assert macro_f1(y, p) == pytest.approx(oracle.f1_score(y, p, average="macro", zero_division=0))
    assert weighted_f1(y, p) == pytest.approx(oracle.f1_score(y, p, average="weighted", zero_division=0))
    np.testing.assert_array_equal(
        confusion_matrix(y, p, 7), oracle.confusion_matrix(y, p, labels=list(range(7)))
    )


@given(rows)
def test_f1_agrees_with_a_loop_over_the_union_of_classes(pair: tuple[Classes, Classes]) -> None:
    y, p = pair
    f1, true = [], []
    for c in sorted({*y.tolist(), *p.tolist()}):
        tp = sum(int(a == c and b == c) for a, b in zip(y, p, strict=True))
        wrong = sum(int((a == c) != (b == c)) for a, b in zip(y, p, strict=True))
        f1.append(2 * tp / (2 * tp + wrong))
        true.append(sum(int(a == c) for a in y))
    assert macro_f1(y, p) == pytest.approx(sum(f1) / len(f1))
    assert weighted_f1(y, p) == pytest.approx(sum(f * n for f, n in zip(f1, true, strict=True)) / len(y))


@given(rows, st.permutations(range(7)))
def test_renaming_the_classes_changes_no_score(pair: tuple[Classes, Classes], names: list[int]) -> None:
    y, p = pair
    renamed = np.array(names)
    assert macro_f1(renamed[y], renamed[p]) == pytest.approx(macro_f1(y, p))
    assert weighted_f1(renamed[y], renamed[p]) == pytest.approx(weighted_f1(y, p))


def test_a_class_predicted_but_never_true_pulls_macro_f1_down() -> None:
    assert macro_f1(np.array([0, 0, 0]), np.array([0, 0, 1])) == pytest.approx((0.8 + 0) / 2)


def test_calibration_agrees_with_a_loop() -> None:
    p = probabilities(0)
    y = np.random.default_rng(1).integers(0, 4, 50)
    total = 0.0
    for b in range(15):
        inside = [i for i in range(50) if b / 15 < p[i].max() <= (b + 1) / 15]
        if inside:
            right = sum(p[i].argmax() == y[i] for i in inside) / len(inside)
            sure = sum(p[i].max() for i in inside) / len(inside)
            total += len(inside) / 50 * abs(right - sure)
    assert expected_calibration_error(y, p) == pytest.approx(total)


def test_calibration_agrees_with_numpy_histograms() -> None:
    p, y = probabilities(2), np.random.default_rng(3).integers(0, 4, 50)
    sure, right = p.max(1), (p.argmax(1) == y).astype(np.float64)
    edges = np.linspace(0, 1, 16)
    gaps = np.histogram(sure, edges, weights=right)[0] - np.histogram(sure, edges, weights=sure)[0]
    assert expected_calibration_error(y, p) == pytest.approx(np.abs(gaps).sum() / 50)


@given(st.integers(0, 1000))
def test_calibration_error_is_at_least_the_overall_gap(seed: int) -> None:
    p, y = probabilities(seed), np.random.default_rng(seed + 1).integers(0, 4, 50)
    overall = abs(float(np.mean(p.argmax(1) == y) - np.mean(p.max(1))))
    assert overall - 1e-12 <= expected_calibration_error(y, p) <= 1


def test_certain_and_right_is_perfectly_calibrated() -> None:
    assert expected_calibration_error(np.array([0, 1]), np.eye(2)) == 0


@pytest.mark.parametrize("metric", [accuracy, macro_f1, weighted_f1])
def test_lengths_that_differ_are_refused(metric: type) -> None:
    with pytest.raises(UsageError, match="2 labels for 1"):
        metric(np.array([0, 1]), np.array([0]))


def test_no_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="0 labels"):
        accuracy(np.array([], np.int64), np.array([], np.int64))
