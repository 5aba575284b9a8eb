from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.svm import LinearSVC

from fusionapp.adapters.linear import preconditioner
from fusionapp.adapters.linear.newton import minimize
from fusionapp.adapters.linear.preconditioner import Preconditioner
from fusionapp.domain.linear import Design, LinearProblem, SquaredHinge


def collinear(rows: int, dim: int) -> NDArray[np.float32]:
    """Rows of length about 1 whose spectrum falls as that of an encoder's layers does, and an intercept."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(rows, 40)) * np.arange(1, 41) ** -1.0
    dense = factors @ rng.normal(size=(40, dim)) + 0.05 * rng.normal(size=(rows, dim))
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    return np.hstack([dense, np.ones((rows, 1))]).astype(np.float32)


class CountingDesign(Design):
    """A design that counts its products."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        object.__setattr__(self, "products", 0)

    def scores(self, weights: NDArray[np.floating]) -> NDArray[np.floating]:
        object.__setattr__(self, "products", self.products + 1)
        return super().scores(weights)

    products: int


def fitted(design: Design, labels: NDArray[np.int64], cost: float) -> NDArray[np.floating]:
    problem = LinearProblem(design, SquaredHinge.of(labels, 3), cost)
    start = np.zeros((design.dim, 3), dtype=np.float32)
    return minimize(problem, start, Preconditioner.of(design), 1e-4)


@pytest.mark.parametrize(("rows", "dim"), [(60, 900), (300, 100), (300, 250)])
def test_weights_agree_with_scikit_learn_whether_rows_are_few_or_columns_many(
    rows: int, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preconditioner, "_RANK", 30)
    dense = collinear(rows, dim)
    labels = np.abs(dense[:, :3]).argmax(1)
    model = LinearSVC(C=10.0, dual=False, tol=1e-8, max_iter=10_000).fit(dense[:, :-1], labels)
    weights = fitted(Design(dense), labels, 10.0)
    np.testing.assert_allclose(weights[:-1].T, model.coef_, atol=3e-3)
    np.testing.assert_allclose(weights[-1], model.intercept_, atol=3e-3)


def test_a_sketch_finds_the_leading_energies(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = collinear(400, 300)
    monkeypatch.setattr(preconditioner, "_RANK", 30)
    sketched = Preconditioner.of(Design(dense))
    exact = np.linalg.eigvalsh(dense.T.astype(np.float64) @ dense)[::-1]
    np.testing.assert_allclose(sketched.energies[:25, 0], exact[:25], rtol=0.02)
    np.testing.assert_allclose(sketched.basis.T @ sketched.basis, np.eye(30), atol=1e-4)
    assert sketched.rest == pytest.approx(exact[30:].mean(), rel=0.1)


def test_few_rows_are_inverted_to_rounding() -> None:
    dense = collinear(20, 500)
    ridge = np.random.default_rng(2).uniform(0.1, 10, size=(501, 1)).astype(np.float32)
    found = Preconditioner.of(Design(dense), ridge)
    residual = np.random.default_rng(1).normal(size=(501, 2)).astype(np.float32)
    exact = np.linalg.solve(np.diag(ridge[:, 0]) + 3.0 * dense.T.astype(np.float64) @ dense, residual)
    np.testing.assert_allclose(found.solve(residual, np.full(2, 3.0, np.float32), ridge), exact, atol=2e-2)
    assert found.basis.shape[1] <= 20


def test_rows_that_are_all_alike_are_fitted_too() -> None:
    dense = np.ones((6, 4), dtype=np.float32)
    weights = fitted(Design(dense), np.array([0, 1, 2, 0, 1, 2]), 1.0)
    assert np.isfinite(weights).all()


def test_it_saves_most_of_the_products() -> None:
    dense = collinear(400, 200)
    labels = np.abs(dense[:, :3]).argmax(1)
    counts = []
    none = Preconditioner(np.zeros((201, 0), np.float32), np.zeros((0, 1), np.float32), 0.0)
    for used in (Preconditioner.of(Design(dense)), none):
        design = CountingDesign(dense)
        problem = LinearProblem(design, SquaredHinge.of(labels, 3), 100.0)
        minimize(problem, np.zeros((201, 3), np.float32), used, 0.01)
        counts.append(design.products)
    assert counts[0] < 0.5 * counts[1]


def test_dense_and_sparse_columns_are_inverted_together() -> None:
    design = Design(np.ones((3, 1), np.float32), (csr_array(np.diag([1.0, 2.0, 3.0]).astype(np.float32)),))
    stacked = np.hstack([np.ones((3, 1)), np.diag([1.0, 2.0, 3.0])])
    ones = np.ones((4, 1), np.float32)
    solved = Preconditioner.of(design).solve(ones, np.ones(1, np.float32), ones)
    np.testing.assert_allclose(solved, np.linalg.solve(np.eye(4) + stacked.T @ stacked, ones), rtol=1e-4)
