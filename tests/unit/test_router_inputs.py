"""What routers read of stored embeddings."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from fusionapp.adapters.torch_shared.router_inputs import read_cards, unit_products, unit_vectors
from fusionapp.application.ports.router import Prompts


def prompts() -> Prompts:
    random = np.random.default_rng(0)
    deep = random.normal(size=(9, 2, 5)).astype(np.float32)
    deep[3] = 0
    flat = random.normal(size=(9, 1, 4)).astype(np.float32)
    return Prompts(
        [""] * 9, {"deep": deep, "counts": csr_array(np.eye(9, 6, dtype=np.float32)), "flat": flat}
    )


def test_unit_vectors_are_of_length_one_with_all_views_alike() -> None:
    some = prompts()
    units = unit_vectors(read_cards(some), some)
    views = np.stack([units[:, :5], units[:, 5:10], np.pad(units[:, 10:], ((0, 0), (0, 1)))], axis=1)
    lengths = np.full((9, 3), 3**-0.5)
    lengths[3, :2] = 0
    np.testing.assert_allclose(np.linalg.norm(views, axis=2), lengths, rtol=1e-5)


def test_products_of_unit_vectors_need_no_unit_vectors() -> None:
    some = prompts()
    cards = read_cards(some)
    matrix = np.random.default_rng(1).normal(size=(14, 3)).astype(np.float32)
    np.testing.assert_allclose(
        unit_products(cards, some, matrix), unit_vectors(cards, some) @ matrix, rtol=1e-4, atol=1e-6
    )
