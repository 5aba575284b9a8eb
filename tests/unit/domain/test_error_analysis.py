from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from fusionapp.domain.error_analysis import class_scores, confident_errors, confused_pairs, reliability
from fusionapp.domain.errors import UsageError
from fusionapp.domain.metrics import confusion_matrix, expected_calibration_error, macro_f1

Classes = NDArray[np.int64]

rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40).map(
    lambda pairs: tuple(np.array(side) for side in zip(*pairs, strict=True))
)
seeds = st.integers(0, 1000)


def scored(seed: int, count: int = 60, classes: int = 4) -> tuple[Classes, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, count), rng.dirichlet(np.full(classes, 0.4), size=count)


@given(rows)
def test_class_scores_agree_with_scikit_learn(pair: tuple[Classes, Classes]) -> None:
    y, p = pair
    found = class_scores(y, p, 7)
    expected = precision_recall_fscore_support(y, p, labels=list(range(7)), zero_division=0)
    for mine, theirs in zip((found.precision, found.recall, found.f1, found.support), expected, strict=True):
        np.testing.assert_allclose(mine, theirs)


def test_class_scores_agree_with_counting_row_by_row() -> None:
    labels, probabilities = scored(3)
    said = probabilities.argmax(-1)
    found = class_scores(labels, said, 4)
    for each in range(4):
        hits = sum(1 for y, p in zip(labels, said, strict=True) if y == p == each)
        support = sum(1 for y in labels if y == each)
        predicted = sum(1 for p in said if p == each)
        assert (found.support[each], found.predicted[each]) == (support, predicted)
        assert found.precision[each] == pytest.approx(hits / predicted)
        assert found.recall[each] == pytest.approx(hits / support)


@given(rows)
def test_the_mean_of_f1_over_the_classes_that_occur_is_macro_f1(pair: tuple[Classes, Classes]) -> None:
    found = class_scores(*pair, 7)
    occurs = found.support + found.predicted > 0
    assert found.f1[occurs].mean() == pytest.approx(macro_f1(*pair))


def test_class_scores_of_no_rows_are_refused() -> None:
    none = np.array([], dtype=np.int64)
    with pytest.raises(UsageError, match="0 labels"):
        class_scores(none, none, 3)


@given(rows)
def test_confused_pairs_agree_with_counting_every_pair(pair: tuple[Classes, Classes]) -> None:
    y, p = pair
    counted: dict[tuple[int, int], int] = {}
    for label, said in zip(y.tolist(), p.tolist(), strict=True):
        if label != said:
            counted[label, said] = counted.get((label, said), 0) + 1
    found = confused_pairs(confusion_matrix(y, p, 7), 49)
    assert {(one.label, one.predicted): one.rows for one in found} == counted
    assert [(-one.rows, one.label, one.predicted) for one in found] == sorted(
        (-count, *key) for key, count in counted.items()
    )
    assert all(one.share == pytest.approx(one.rows / (y == one.label).sum()) for one in found)


def test_no_more_pairs_are_named_than_asked_for() -> None:
    cells = np.array([[5, 3, 1], [2, 9, 0], [4, 0, 1]])
    assert [(one.label, one.predicted, one.rows) for one in confused_pairs(cells, 2)] == [
        (2, 0, 4),
        (0, 1, 3),
    ]


@given(seeds)
def test_confident_errors_agree_with_sorting_a_list_of_them(seed: int) -> None:
    labels, probabilities = scored(seed)
    wrong = [
        (-max(row), place)
        for place, row in enumerate(probabilities.tolist())
        if np.argmax(row) != labels[place]
    ]
    assert confident_errors(labels, probabilities, 5).tolist() == [place for _, place in sorted(wrong)[:5]]


def test_a_classifier_without_errors_has_no_confident_ones() -> None:
    assert confident_errors(np.array([1, 0]), np.array([[0.1, 0.9], [0.6, 0.4]]), 5).size == 0


@given(seeds)
def test_reliability_agrees_with_sorting_rows_into_bins_by_hand(seed: int) -> None:
    labels, probabilities = scored(seed)
    found = reliability(labels, probabilities, 15)
    for bin_ in range(15):
        low, high = bin_ / 15, (bin_ + 1) / 15
        inside = [
            (max(row), int(np.argmax(row)) == label)
            for row, label in zip(probabilities.tolist(), labels, strict=True)
            if low < max(row) <= high
        ]
        assert found.rows[bin_] == len(inside)
        if inside:
            assert found.confidence[bin_] == pytest.approx(np.mean([one for one, _ in inside]))
            assert found.accuracy[bin_] == pytest.approx(np.mean([hit for _, hit in inside]))
        else:
            assert np.isnan(found.accuracy[bin_])


@given(seeds)
def test_the_gaps_of_the_bins_add_up_to_the_calibration_error(seed: int) -> None:
    labels, probabilities = scored(seed)
    found = reliability(labels, probabilities)
    gaps = np.abs(np.nan_to_num(found.accuracy - found.confidence)) * found.rows
    assert gaps.sum() / len(labels) == pytest.approx(expected_calibration_error(labels, probabilities))
