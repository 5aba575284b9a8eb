"""The linear SVM by inner products of its rows."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.svm import LinearSVC

from fusionapp.adapters.linear import gram as gram_module, kernel, solver
from fusionapp.adapters.linear.design import TorchDesign
from fusionapp.adapters.linear.gram import gram_matrix
from fusionapp.adapters.linear.kernel import fit_by_kernel, largest_cost
from fusionapp.adapters.linear.solver import KernelSolver, NewtonSolver, Solver, Solvers
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.domain.linear import SquaredHinge

RNG = np.random.default_rng(0)
ROWS, CLASSES = 150, 4
LABELS = RNG.integers(0, CLASSES, ROWS)
LABELS[LABELS == 3] = np.where(np.arange((LABELS == 3).sum()) < 2, 3, 0)  # a class with two rows
DENSE = RNG.normal(size=(ROWS, 9)).astype(np.float32)
DENSE[np.arange(ROWS), LABELS] += 2
DENSE[:, -1] = 1
COUNTS = [csr_array(RNG.poisson(0.1, size=(ROWS, n)).astype(np.float32)) for n in (400, 90)]
DESIGN = TorchDesign(DENSE, tuple(COUNTS))
RIDGE = RNG.uniform(0.5, 2, size=(DESIGN.dim, 1)).astype(np.float32)
SCALED = np.asarray(hstack([csr_array(DENSE), *COUNTS]).toarray() / np.sqrt(RIDGE[:, 0]))
ALL = np.arange(ROWS)


def oracle(cost: float, rows: NDArray[np.int64] = ALL) -> NDArray[np.float64]:
    """scikit-learn's scores of all rows by a model of some; the intercept stands among the columns."""
    model = LinearSVC(C=cost, dual=False, tol=1e-9, max_iter=20_000, fit_intercept=False)
    return np.asarray(model.fit(SCALED[rows], LABELS[rows]).decision_function(SCALED))


def kernel_solver(labels: NDArray[np.int64] = LABELS) -> KernelSolver:
    return KernelSolver.of(DESIGN, labels, CLASSES, RIDGE)


@pytest.mark.parametrize("cells", [1, 2**25])
def test_the_gram_matrix_is_that_of_the_weighted_columns(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram_module, "_BUFFER_CELLS", cells)
    rows = ALL[3:80]
    np.testing.assert_allclose(gram_matrix(DESIGN, RIDGE, rows), SCALED[rows] @ SCALED[rows].T, atol=1e-4)


@pytest.mark.parametrize("cost", [0.01, 1.0, 100.0])
def test_scores_agree_with_scikit_learn(cost: float) -> None:
    weights = kernel_solver()(cost, 1e-4)
    np.testing.assert_allclose(DESIGN.scores(weights), oracle(cost), atol=3e-3)


def test_rows_without_a_label_are_not_fitted() -> None:
    held = (ALL % 3 == 0) & (LABELS != 3)
    weights = kernel_solver(np.where(held, -1, LABELS))(1.0, 1e-4)
    np.testing.assert_allclose(DESIGN.scores(weights)[held], oracle(1.0, ALL[~held])[held], atol=3e-3)


@pytest.mark.parametrize(
    "block", [csr_array((ROWS, 7), dtype=np.float32), csr_array((ROWS, 0), dtype=np.float32)]
)
def test_a_sparse_source_without_a_cell_adds_nothing(block: csr_array) -> None:
    plain, beside = TorchDesign(DENSE), TorchDesign(DENSE, (block,))
    expected, found = (Solvers.of("linear_svm", CLASSES, each)(LABELS)(1.0, 1e-4) for each in (plain, beside))
    np.testing.assert_array_equal(found[: DENSE.shape[1]], expected)


def test_without_a_labelled_row_all_weights_are_zero() -> None:
    weights = kernel_solver(np.full(ROWS, -1))(1.0, 0.1)
    assert weights.shape == (DESIGN.dim, CLASSES)
    assert not weights.any()


def test_a_start_changes_the_way_and_not_the_end() -> None:
    fit = kernel_solver()
    warm, cold = fit(1.0, 1e-4, fit(0.1, 0.2)), fit(1.0, 1e-4)
    np.testing.assert_allclose(DESIGN.scores(warm), DESIGN.scores(cold), atol=3e-3)


def test_a_loose_fit_ends_within_its_share_of_the_weights() -> None:
    fit = kernel_solver()
    loose, exact = fit(1.0, 0.2), fit(1.0, 1e-5)
    root = np.sqrt(RIDGE)
    apart = np.linalg.norm((loose - exact) * root, axis=0)
    assert (apart <= 0.2 * np.linalg.norm(loose * root, axis=0)).all()


def test_rows_that_stand_twice_are_fitted_at_the_largest_cost_there_is_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    twice = np.concatenate([ALL, ALL])
    loss = SquaredHinge.of(LABELS[twice], CLASSES)
    gram = gram_matrix(DESIGN, RIDGE, ALL)[np.ix_(twice, twice)]
    with caplog.at_level(logging.WARNING):
        found = fit_by_kernel(gram, loss, 1e9, np.zeros_like(loss.signs), 0.1)
    assert np.mean((gram @ found).argmax(1) == LABELS[twice]) == 1.0
    (record,) = caplog.records
    expected = (
        f"linear SVM: C = 1e+09 is fitted as {largest_cost(gram):g}, the largest that float32 takes here"
    )
    assert record.getMessage() == expected
    assert largest_cost(gram) == pytest.approx(135, rel=0.01)


@pytest.mark.parametrize(("columns", "noise", "times"), [(40, 0.2, 3), (20, 0.1, 10)])
def test_a_cost_that_float32_cannot_take_is_fitted_in_float64(
    columns: int, noise: float, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(ROWS) < noise, rng.integers(0, CLASSES, ROWS), LABELS)
    counts = csr_array(rng.poisson(0.1, size=(ROWS, columns)).astype(np.float32))
    design = TorchDesign(DENSE, (counts,))
    ridge = RIDGE[: design.dim]
    fit = KernelSolver.of(design, labels, CLASSES, ridge)
    cost = times * largest_cost(fit.gram)
    with caplog.at_level(logging.WARNING):
        cold = fit(cost, 1e-4)
        warm = fit(cost, 1e-4, fit(1.0, 0.1))
    assert not caplog.records
    assert cold.dtype == np.float32
    model = LinearSVC(C=cost, dual=False, tol=1e-9, max_iter=100_000, fit_intercept=False)
    rows = np.hstack([DENSE, counts.toarray()]) / np.sqrt(ridge[:, 0])
    expected = model.fit(rows, labels).coef_.T / np.sqrt(ridge)
    for weights in (cold, warm):
        assert np.linalg.norm(weights - expected) < 1e-3 * np.linalg.norm(expected)


def test_a_fit_that_does_not_end_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "MAX_STEPS", 1)
    with caplog.at_level(logging.WARNING):
        kernel_solver()(1.0, 1e-6)
    assert "C = 1 unfinished after 1 steps" in caplog.text


@pytest.mark.parametrize("kind", ["linear_svm", "logistic_regression"])
def test_both_ways_find_the_same_weights(kind: LinearKind, monkeypatch: pytest.MonkeyPatch) -> None:
    def weights() -> tuple[Solver, NDArray[np.floating]]:
        found = Solvers.of(kind, CLASSES, DESIGN, RIDGE)(LABELS, RIDGE)
        return found, found(1.0, 1e-4)

    chosen, ours = weights()
    monkeypatch.setattr(solver, "_MOST_KERNEL_ROWS", 0)
    other, theirs = weights()
    assert isinstance(chosen, KernelSolver if kind == "linear_svm" else NewtonSolver)
    assert isinstance(other, NewtonSolver)
    np.testing.assert_allclose(DESIGN.scores(ours), DESIGN.scores(theirs), atol=3e-3)


def test_many_rows_of_few_columns_are_not_multiplied_with_each_other() -> None:
    narrow = TorchDesign(np.ones((9000, 2), np.float32))
    assert Solvers.of("linear_svm", 2, narrow).preconditioner is not None
