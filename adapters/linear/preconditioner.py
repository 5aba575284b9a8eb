"""An approximate inverse Hessian that makes conjugate gradients converge in a few steps."""

from __future__ import annotations

import attrs
import numpy as np

from fusionapp.domain.linear import Design, Matrix


@attrs.frozen(eq=False)
class Preconditioner:
    """Approximate inverse Hessians of one design, for any cost and any weights of the rows.

    The layers of one encoder are almost collinear, so the dense block is X^T X with every row weighed alike,
    diagonalised once; of the sparse block, the diagonal.

    Attributes:
        basis: (dense_dim, dense_dim) eigenvectors of dense^T dense, in columns.
        energies: (dense_dim, 1) its eigenvalues.
        squares: (sparse_dim, 1) sums of squares of the sparse columns.
    """

    basis: Matrix
    energies: Matrix
    squares: Matrix

    @classmethod
    def of(cls, design: Design) -> Preconditioner:
        """Diagonalise a design's dense block: O(rows * dense_dim^2 + dense_dim^3)."""
        dtype = design.dense.dtype
        energies, basis = np.linalg.eigh((design.dense.T @ design.dense).astype(np.float64))
        squares = [block.power(2).sum(0) for block in design.sparse]
        return cls(
            basis.astype(dtype),
            np.maximum(energies, 0).astype(dtype)[:, None],
            np.concatenate([np.empty(0), *squares]).astype(dtype)[:, None],
        )

    def solve(self, residual: Matrix, scale: Matrix) -> Matrix:
        """Roughly (I + scale X^T X)^-1 R.

        Args:
            residual: R, (dim, classes).
            scale: (classes,) cost times the mean weight of a row.
        """
        dense = len(self.basis)
        rotated = (self.basis.T @ residual[:dense]) / (1 + scale * self.energies)
        return np.concatenate([self.basis @ rotated, residual[dense:] / (1 + scale * self.squares)])
