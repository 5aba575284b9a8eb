"""Train's scores by models that did not see the rows, nor copies of them, nor guess at classes they never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.heads import CountingProgress
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.linear.equal_rows import equal_rows
from fusionapp.adapters.linear.path import ScipyLinearPath
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_path import PathScores
from fusionapp.domain.calibration import fit_scale
from fusionapp.domain.errors import UsageError
from fusionapp.domain.splitting import grouped_folds

RNG = np.random.default_rng(0)


def fit(
    directory: Path, vectors: NDArray[np.floating], labels: NDArray[np.int64], classes: int, folds: int = 3
) -> PathScores:
    rows = LabelledEmbeddings({"a": vectors[:, None, :].astype(np.float32)}, labels)
    return ScipyLinearPath().fit(
        "linear_svm", classes, rows, rows, {}, (1.0,), folds, 0, str(directory), CountingProgress()
    )


def test_copies_of_a_row_share_a_fold_so_that_random_labels_are_not_learned(tmp_path: Path) -> None:
    vectors = np.repeat(RNG.normal(size=(150, 40)), 3, axis=0)
    labels = np.repeat(RNG.integers(0, 3, 150), 3)

    scores = fit(tmp_path, vectors, labels, 3).train

    assert np.mean(scores.argmax(1) == labels) < 0.45


def test_a_row_of_a_class_that_no_other_fold_holds_is_given_no_scores(tmp_path: Path) -> None:
    labels = np.array([*[0, 1] * 15, 2])

    scores = fit(tmp_path, RNG.normal(size=(31, 8)), labels, 3).train

    assert not scores[30].any()
    assert scores[:30].any(axis=1).all()


def test_one_row_a_class_says_nothing_of_the_path_and_its_scale_stays_one(tmp_path: Path) -> None:
    labels = np.arange(10)

    scores = fit(tmp_path, RNG.normal(size=(10, 8)), labels, 10).train

    assert not scores.any()
    assert fit_scale(scores, labels) == 1.0


def test_rows_are_equal_where_every_source_is(tmp_path: Path) -> None:
    dense = np.array([[[1.0]], [[1.0]], [[2.0]], [[1.0]]], dtype=np.float32)
    sparse = csr_array(np.array([[0, 1], [0, 1], [0, 1], [1, 0]], dtype=np.float32))

    assert equal_rows({"dense": dense}, 4).tolist() == [0, 0, 1, 0]
    assert equal_rows({"dense": dense, "sparse": sparse}, 4).tolist() == [0, 0, 1, 2]


def test_a_groups_rows_go_to_one_fold_and_folds_are_alike_in_size() -> None:
    groups = np.repeat(np.arange(30), 2)

    fold = grouped_folds(np.repeat(RNG.integers(0, 3, 30), 2), groups, 3)

    assert all(len(set(fold[groups == group])) == 1 for group in range(30))
    assert np.bincount(fold).tolist() == [20, 20, 20]


def test_one_class_alone_is_refused_before_anything_is_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one class alone"):
        fit(tmp_path, RNG.normal(size=(6, 3)), np.zeros(6, dtype=np.int64), 1)


@pytest.mark.parametrize("cost", [np.inf, np.nan, 0.0])
def test_a_cost_that_is_no_positive_number_is_refused(tmp_path: Path, cost: float) -> None:
    rows = LabelledEmbeddings({"a": RNG.normal(size=(6, 1, 3)).astype(np.float32)}, np.array([0, 1] * 3))

    with pytest.raises(UsageError, match="above 0 and finite"):
        ScipyLinearPath().fit(
            "linear_svm", 2, rows, rows, {}, (cost,), 2, 0, str(tmp_path), CountingProgress()
        )


def test_costs_may_be_numpys_numbers(tmp_path: Path) -> None:
    rows = LabelledEmbeddings({"a": RNG.normal(size=(9, 1, 3)).astype(np.float32)}, np.array([0, 1, 1] * 3))

    found = ScipyLinearPath().fit(
        "linear_svm", 2, rows, rows, {}, list(np.logspace(-1, 1, 3)), 3, 0, str(tmp_path), CountingProgress()
    )

    assert isinstance(found.cost, float)


def test_logistic_regression_over_blank_texts_is_finite(tmp_path: Path) -> None:
    blank = csr_array(np.zeros((12, 64), dtype=np.float32))
    rows = LabelledEmbeddings({"words": blank}, np.array([0, 1, 1] * 4))

    found = ScipyLinearPath().fit(
        "logistic_regression", 2, rows, rows, {}, (1.0,), 3, 0, str(tmp_path), CountingProgress()
    )

    assert np.isfinite(found.train).all()
    assert np.isfinite(found.validation).all()
