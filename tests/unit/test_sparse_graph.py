"""Weighting and bags in plain operators give what scipy, torch's own bag and a loop give."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from fusionapp.adapters.torch_heads.sparse import SparseRows
from fusionapp.adapters.torch_heads.sparse_graph import BagGraph, WeightedCells, owners_of
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.recipe import SourceRecipe

COLUMNS = 6
Counts = NDArray[np.float32]
counts = st.integers(1, 5).flatmap(
    lambda rows: arrays(np.float32, (rows, COLUMNS), elements=st.integers(0, 3).map(float))
)
weightings = st.builds(
    SourceRecipe,
    min_document_frequency=st.integers(1, 2),
    max_columns=st.sampled_from([None, 2]),
    idf=st.booleans(),
    sublinear_tf=st.booleans(),
)


def tensors(rows: csr_array) -> tuple[Tensor, Tensor, Tensor]:
    indices: Any = (rows.indptr.astype(np.int64), rows.indices.astype(np.int64))
    return torch.from_numpy(indices[0]), torch.from_numpy(indices[1]), torch.from_numpy(rows.data)


def weighted(train: Counts, seen: Counts, recipe: SourceRecipe) -> tuple[SparseRows, csr_array]:
    """A batch weighed in torch and by the domain's own formula."""
    weighting = LexicalWeighting.fit(csr_array(train), recipe)
    found: SparseRows = WeightedCells(weighting, COLUMNS)(*tensors(csr_array(seen)))
    return found, weighting.transform(csr_array(seen))


@settings(deadline=None)  # torch's first call is slow
@given(counts, counts, weightings)
def test_weighted_rows_times_a_table_are_those_of_the_domain(
    train: Counts, seen: Counts, recipe: SourceRecipe
) -> None:
    found, expected = weighted(train, seen, recipe)
    tables = torch.randn((2, expected.shape[1] or 1, 3), generator=torch.Generator().manual_seed(0))
    sums = BagGraph(tables)(found).numpy()
    for table, given_sums in zip(tables.numpy(), sums, strict=True):
        product = expected @ table if expected.shape[1] else np.zeros((len(seen), 3))
        np.testing.assert_allclose(given_sums[:, 0], product, atol=1e-5)


@settings(deadline=None)  # torch's first call is slow
@given(counts)
def test_each_cell_is_owned_by_the_row_that_a_loop_finds(seen: Counts) -> None:
    rows = csr_array(seen)
    starts, columns, _ = tensors(rows)
    loop = [row for row in range(len(seen)) for _ in range(rows.indptr[row], rows.indptr[row + 1])]
    assert owners_of(starts, columns).tolist() == loop


@settings(deadline=None)  # torch's first call is slow
@given(counts)
def test_a_bag_sums_as_torchs_own(seen: Counts) -> None:
    rows = SparseRows.of(csr_array(seen), torch.device("cpu"))
    table = torch.randn((1, COLUMNS, 4), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(BagGraph(table)(rows)[0, :, 0], rows.times(table[0]), atol=1e-5, rtol=1e-5)
