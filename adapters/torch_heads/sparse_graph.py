"""Sparse sources in a graph: TF-IDF and weighted sums of table rows, out of operators that every runtime has."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.bag import StackedBag
from fusionapp.adapters.torch_heads.sparse import SparseRows
from fusionapp.domain.lexical_weighting import LexicalWeighting

PARTS = ("indptr", "indices", "data")
"""What a graph takes of a CSR matrix, as scipy calls it: where each row begins, columns, cells."""


class WeightedCells(nn.Module):
    """`LexicalWeighting.transform` in torch; a column that is not kept stays, with weight 0."""

    place: Tensor
    worth: Tensor

    def __init__(self, weighting: LexicalWeighting, dim: int) -> None:
        """`dim`: columns of the raw counts."""
        super().__init__()
        place, worth = np.zeros(dim, dtype=np.int32), np.zeros(dim, dtype=np.float32)
        place[weighting.columns] = np.arange(len(weighting.columns), dtype=np.int32)
        worth[weighting.columns] = weighting.idf
        self.sublinear = weighting.sublinear_tf
        self.register_buffer("place", torch.from_numpy(place))
        self.register_buffer("worth", torch.from_numpy(worth))

    def forward(self, starts: Tensor, columns: Tensor, counts: Tensor) -> SparseRows:
        """Weigh one batch.

        Args:
            starts: (rows + 1,) int64, where each row's cells begin.
            columns: (cells,) int64, none twice in a row.
            counts: (cells,) float32, at least 1.

        Returns:
            The same cells over the kept columns, rows of length 1 or 0.
        """
        cells = (1 + torch.log(counts) if self.sublinear else counts) * self.worth.index_select(0, columns)
        owners = owners_of(starts, columns)
        # Not `index_add`, which becomes ONNX's ScatterND: there threads of onnxruntime lose what they add.
        squared = cells.new_zeros(starts.shape[0] - 1).scatter_add(0, owners, cells * cells)
        length = torch.sqrt(torch.where(squared > 0, squared, torch.ones_like(squared)))
        return SparseRows(starts, self.place.index_select(0, columns), cells / length.index_select(0, owners))


class BagGraph(nn.Module):
    """`StackedBag` in torch's plain operators: every table's weighted sums over the same rows."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        """`table`: (tables, columns, width)."""
        super().__init__()
        self.register_buffer("table", table.detach())

    def forward(self, batch: SparseRows) -> Tensor:
        """CSR (rows, columns) -> (tables, rows, 1, width)."""
        tables, _, width = self.table.shape
        cells = self.table.index_select(1, batch.columns) * batch.weights[None, :, None]
        sums = cells.new_zeros(tables, batch.starts.shape[0] - 1, width)
        owners = owners_of(batch.starts, batch.columns)[None, :, None].expand_as(cells)
        return sums.scatter_add(1, owners, cells)[:, :, None]


def owners_of(starts: Tensor, columns: Tensor) -> Tensor:
    """(cells,) int64, the row of each cell: how many rows have ended at or before it."""
    ended = torch.zeros_like(columns, dtype=torch.int64)
    ended = torch.cat([ended, ended.new_zeros(1)])
    ended = ended.scatter_add(0, starts[1:], torch.ones_like(starts[1:]))
    return ended.cumsum(0)[:-1]


def replace_bags(bags: nn.ModuleList) -> None:
    """Put a `BagGraph` where a head has an embedding bag."""
    for place, bag in enumerate(bags):
        if isinstance(bag, StackedBag):
            bags[place] = BagGraph(bag.table)
