"""The embedding bag through which a sparse source enters a fusion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.sparse import SparseRows, TouchedColumns, weighted_sums

_INITIAL_SPREAD = 0.1
"""Standard deviation of a fresh table."""


class StackedBag(nn.Module):
    """Weighted sums of table rows, one table per seed: CSR (seeds x batch, columns) -> (seeds, batch, 1, width).

    A batch touches a few percent of the table, so the table itself takes part in no gradient: the touched rows
    are gathered into `rows`, a leaf that receives the gradient, and the row optimiser writes them back.

    Attributes:
        table: (seeds, columns, width).
        touched: what the last training batch touched; None outside training.
        rows: (touched, width), the leaf with the gradient.
    """

    def __init__(self, seeds: int, columns: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(seeds, columns, width), requires_grad=False)
        self.touched: TouchedColumns | None = None
        self.rows: Tensor | None = None

    @torch.no_grad()
    def draw(self, streams: Sequence[torch.Generator]) -> None:
        """Initialise each seed's table from its own stream."""
        for seed, stream in enumerate(streams):
            self.table[seed].normal_(0.0, _INITIAL_SPREAD, generator=stream)

    def forward(self, batch: SparseRows) -> Tensor:
        """CSR of (seeds x batch) rows over the kept columns, seed by seed -> (seeds, batch, 1, width)."""
        seeds, columns, width = self.table.shape
        flat = self.table.view(seeds * columns, width)
        stacked = self._offset(batch, seeds, columns)
        if not self.training:
            return stacked.times(flat).view(seeds, -1, 1, width)
        self.touched = TouchedColumns.of(stacked)
        self.rows = flat.index_select(0, self.touched.columns).requires_grad_()
        return weighted_sums(self.rows, self.touched).view(seeds, -1, 1, width)

    @staticmethod
    def _offset(batch: SparseRows, seeds: int, columns: int) -> SparseRows:
        """Move each seed's columns to its own table's rows."""
        batch_rows = (len(batch.starts) - 1) // seeds
        cells = batch.starts[::batch_rows].diff() if batch_rows else batch.starts.new_zeros(seeds)
        first = torch.arange(seeds, dtype=torch.int32, device=batch.columns.device) * columns
        offsets = torch.repeat_interleave(first, cells, output_size=len(batch.columns))
        return SparseRows(batch.starts, batch.columns + offsets, batch.weights)
