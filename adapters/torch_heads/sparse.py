"""Sparse rows as tensors, and the weighted sums of table rows that an embedding bag is made of."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn.functional import embedding_bag


@attrs.frozen(eq=False)
class SparseRows:
    """CSR rows on a device.

    Attributes:
        starts: (rows + 1,) int64, where each row's cells begin.
        columns: (cells,) int32.
        weights: (cells,) float32.
    """

    starts: Tensor
    columns: Tensor
    weights: Tensor

    @classmethod
    def of(cls, rows: csr_array, device: torch.device) -> SparseRows:
        """Copy scipy's rows to a device."""
        return cls(
            torch.as_tensor(rows.indptr.astype(np.int64), device=device),
            torch.as_tensor(rows.indices.astype(np.int32), device=device),
            torch.as_tensor(rows.data.astype(np.float32), device=device),
        )

    def take(self, rows: Tensor) -> SparseRows:
        """Rows (any shape) int64 in the order asked for, flattened."""
        rows = rows.flatten()
        begin = self.starts[rows]
        widths = self.starts[rows + 1] - begin
        starts = torch.zeros(len(rows) + 1, dtype=torch.int64, device=rows.device)
        torch.cumsum(widths, 0, out=starts[1:])
        cells = torch.arange(int(starts[-1]), device=rows.device)
        cells += torch.repeat_interleave(begin - starts[:-1], widths, output_size=len(cells))
        return SparseRows(starts, self.columns[cells], self.weights[cells])

    def owners(self) -> Tensor:
        """(cells,) int32: the row of each cell."""
        rows = torch.arange(len(self.starts) - 1, dtype=torch.int32, device=self.starts.device)
        return torch.repeat_interleave(rows, self.starts.diff(), output_size=len(self.columns))

    def times(self, table: Tensor) -> Tensor:
        """These rows as a matrix (rows, table's rows) times a table (..., width): (rows, width)."""
        if not len(self.columns):  # embedding_bag refuses to sum over nothing at all
            return table.new_zeros(len(self.starts) - 1, table.shape[1])
        return embedding_bag(
            self.columns,
            table,
            self.starts.to(torch.int32),
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )


@attrs.frozen(eq=False)
class TouchedColumns:
    """A batch's sparse matrix cut down to the columns that occur in it.

    Attributes:
        columns: (touched,) int64, ascending table rows.
        matrix: (batch, touched).
        transposed: (touched, batch), with which the gradient of the table's rows is one more weighted sum.
    """

    columns: Tensor
    matrix: SparseRows
    transposed: SparseRows

    @classmethod
    def of(cls, batch: SparseRows) -> TouchedColumns:
        """One stable radix sort of the cells by column gives both the columns and the transpose."""
        ordered, order = torch.sort(batch.columns, stable=True)
        columns, counts = torch.unique_consecutive(ordered, return_counts=True)
        starts = torch.zeros(len(columns) + 1, dtype=torch.int64, device=columns.device)
        torch.cumsum(counts, 0, out=starts[1:])
        local = torch.empty_like(batch.columns)
        places = torch.arange(len(columns), dtype=torch.int32, device=columns.device)
        local[order] = torch.repeat_interleave(places, counts, output_size=len(order))
        return cls(
            columns.to(torch.int64),
            SparseRows(batch.starts, local, batch.weights),
            SparseRows(starts, batch.owners()[order], batch.weights[order]),
        )


class _WeightedSums(torch.autograd.Function):
    """matrix x rows; backward is transposed x gradient, so neither direction scatters."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, touched: TouchedColumns) -> Tensor:
        ctx.transposed = touched.transposed
        return touched.matrix.times(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.transposed.times(gradients[0].contiguous()), None


def weighted_sums(rows: Tensor, touched: TouchedColumns) -> Tensor:
    """A batch's matrix (batch, touched) times the touched rows (touched, width), with their gradient."""
    sums: Tensor = _WeightedSums.apply(rows, touched)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return sums
