"""Truncated Newton over texts that say nothing: it ends at what the classes' frequencies are."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.linear import newton, solver
from fusionapp.adapters.linear.design import TorchDesign
from fusionapp.adapters.linear.solver import Solvers
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.domain.normalization import softmax

ROWS = 300
LABELS = {
    "balanced": np.arange(ROWS) % 3,
    "unbalanced": np.random.default_rng(0).integers(0, 3, ROWS),
    "rare": (np.arange(ROWS) < 2).astype(np.int64),
}
CONSTANT = np.random.default_rng(1).normal(size=6).astype(np.float32) / 2.5
ONES = np.ones((ROWS, 1), np.float32)
DESIGNS = {
    "zero vectors": TorchDesign(np.hstack([np.zeros((ROWS, 6), np.float32), ONES])),
    "texts all alike": TorchDesign(np.hstack([np.tile(CONSTANT, (ROWS, 1)), ONES])),
    "texts without a word": TorchDesign(ONES, (csr_array(np.zeros((ROWS, 7), np.float32)),)),
}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A place for every Newton step taken."""
    direction, taken = newton._direction, []

    def counted(*arguments: object) -> object:
        taken.append(1)
        return direction(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(newton, "_direction", counted)
    monkeypatch.setattr(solver, "_MOST_KERNEL_ROWS", 0)
    return taken


@pytest.mark.parametrize("cost", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_texts_that_say_nothing_are_fitted_by_frequency_in_a_few_steps(
    design: TorchDesign,
    labels: NDArray[np.int64],
    cost: float,
    steps: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    classes = int(labels.max()) + 1
    with caplog.at_level(logging.WARNING):
        weights = Solvers.of("logistic_regression", classes, design)(labels)(cost, 0.1)
    assert not caplog.records
    assert len(steps) <= 10
    shares = np.bincount(labels) / ROWS
    np.testing.assert_allclose(softmax(design.scores(weights))[0], shares, atol=2e-4)


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_an_svm_ends_as_soon(design: TorchDesign, steps: list[int], caplog: pytest.LogCaptureFixture) -> None:
    kind: LinearKind = "linear_svm"
    for cost in (0.01, 100.0):
        Solvers.of(kind, 3, design)(LABELS["balanced"])(cost, 0.1)
    assert not caplog.records
    assert len(steps) <= 20
