from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.linear import design as design_module
from fusionapp.adapters.linear.design import TorchDesign
from fusionapp.domain.linear import Design

RNG = np.random.default_rng(0)
DENSE = np.hstack([RNG.normal(size=(50, 30)), np.ones((50, 1))]).astype(np.float32)
SPARSE = tuple(csr_array(RNG.poisson(0.3, size=(50, n)).astype(np.float32)) for n in (20, 7))
PLAIN = Design(DENSE, SPARSE)
WEIGHTS = RNG.normal(size=(58, 4)).astype(np.float32)
SLOPES = RNG.normal(size=(50, 4)).astype(np.float32)


def apart(ours: NDArray[np.floating], exact: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(ours - exact) / np.linalg.norm(exact))


def test_torch_multiplies_as_the_plain_design() -> None:
    ours = TorchDesign(DENSE, SPARSE)
    np.testing.assert_allclose(ours.scores(WEIGHTS), PLAIN.scores(WEIGHTS), atol=1e-4)
    np.testing.assert_allclose(ours.back(SLOPES), PLAIN.back(SLOPES), atol=1e-4)


def test_rough_products_are_right_to_two_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(design_module, "automatic_dtype", lambda device: torch.bfloat16)
    rough = TorchDesign(DENSE, SPARSE).rough
    assert 0 < apart(rough.scores(WEIGHTS), PLAIN.scores(WEIGHTS)) < 1e-2
    assert 0 < apart(rough.back(SLOPES), PLAIN.back(SLOPES)) < 1e-2


def test_without_bfloat16_in_hardware_rough_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(design_module, "automatic_dtype", lambda device: torch.float32)
    ours = TorchDesign(DENSE, SPARSE)
    assert ours.rough is ours
