"""How a column's information of the class becomes its ridge, and what must not reach a fold through it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from fakes.heads import CountingProgress
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.linear import solver
from fusionapp.adapters.linear.features import LinearFeatures
from fusionapp.adapters.linear.out_of_fold import score_out_of_fold
from fusionapp.adapters.linear.ridge import informed_ridge
from fusionapp.adapters.linear.solver import Solvers
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.linear import Design
from fusionapp.domain.recipe import SourceRecipe

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 90)
COUNTS = RNG.poisson(0.4, size=(90, 12)).astype(np.float32)
COUNTS[:, 0] = LABELS == 1
SOURCES: dict[str, Embeddings] = {
    "dense": RNG.normal(size=(90, 2, 4)).astype(np.float32),
    "words": csr_array(COUNTS),
}


def ridge_of(labels: NDArray[np.int64], **recipe: bool) -> NDArray[np.floating]:
    recipes = {"words": SourceRecipe(**recipe)}  # type: ignore[arg-type]
    features = LinearFeatures.fit(SOURCES, recipes)
    return informed_ridge(features, recipes, features.transform(SOURCES), labels, 3)[:, 0]


def test_variances_of_a_sparse_source_have_mean_one_and_dense_columns_keep_one() -> None:
    ridge = ridge_of(LABELS)
    np.testing.assert_allclose((1 / ridge[-12:]).mean(), 1, rtol=1e-5)
    np.testing.assert_array_equal(ridge[:-12], 1)


def test_the_column_that_tells_the_class_is_shrunk_least() -> None:
    assert ridge_of(LABELS)[-12:].argmin() == 0


def test_rows_without_a_label_are_not_looked_at() -> None:
    features = LinearFeatures.fit(SOURCES, {})
    design = features.transform(SOURCES)
    left_out = np.where(np.arange(90) < 30, -1, LABELS)
    rest = Design(design.dense[30:], (design.sparse[0][30:],))
    np.testing.assert_allclose(
        informed_ridge(features, {}, design, left_out, 3),
        informed_ridge(features, {}, rest, LABELS[30:], 3),
        rtol=1e-5,
    )


def test_a_source_without_information_is_shrunk_alike() -> None:
    np.testing.assert_array_equal(ridge_of(LABELS, information=False), 1)


@pytest.mark.parametrize("kind", ["linear_svm", "logistic_regression"])
@pytest.mark.parametrize("kernel_rows", [0, 90])
def test_labels_moved_within_a_fold_do_not_reach_its_scores(
    kind: LinearKind, kernel_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver, "_MOST_KERNEL_ROWS", kernel_rows)
    features = LinearFeatures.fit(SOURCES, {})
    design = features.transform(SOURCES)
    fold = np.arange(90) % 3
    moved = LABELS.copy()
    moved[fold == 0] = np.roll(moved[fold == 0], 1)
    ridge = partial(informed_ridge, features, {}, design, classes=3)
    solvers = Solvers.of(kind, 3, design, ridge(LABELS))
    progress = CountingProgress()
    with progress.task("folds", total=6, unit="fits") as bar:
        before, after = (
            score_out_of_fold(lambda seen: solvers(seen, ridge(seen)), 3, labels, fold, 1.0, 0.1, bar)
            for labels in (LABELS, moved)
        )
    np.testing.assert_array_equal(before[fold == 0], after[fold == 0])
    assert not np.allclose(before[fold == 1], after[fold == 1], atol=1e-2)
