"""An approximate inverse Hessian that makes conjugate gradients converge in a few steps."""

from __future__ import annotations

import attrs
import numpy as np

from fusionapp.domain.linear import Design, Matrix

_EXACT_SIDE = 768
"""Up to this many rows or dense columns the dense block is diagonalised whole."""
_RANK = 256
"""On GoEmotions with 2,304 dense columns 128, 512 and all eigenvectors lead to as many products."""
_OVERSAMPLING = 32


@attrs.frozen(eq=False)
class Preconditioner:
    """Approximate inverse Hessians of one design, for any cost and any weights of the rows.

    The layers of one encoder are almost collinear, so the dense block is X^T X with every row weighed alike: its
    leading eigenvectors and one energy for all other directions; of the sparse block, the diagonal.

    Attributes:
        basis: (dense_dim, rank) orthonormal eigenvectors of dense^T dense.
        energies: (rank, 1) their eigenvalues.
        rest: mean energy of the directions that the basis leaves out.
        squares: (sparse_dim, 1) sums of squares of the sparse columns.
    """

    basis: Matrix
    energies: Matrix
    rest: float
    squares: Matrix

    @classmethod
    def of(cls, design: Design) -> Preconditioner:
        """Diagonalise a design's dense block, by a randomised sketch where it is large."""
        dense = design.dense
        basis, energies = _whole(dense) if min(dense.shape) <= _EXACT_SIDE else _leading(dense)
        total = float(np.einsum("rd,rd->", dense, dense, dtype=np.float64))
        left = max(dense.shape[1] - len(energies), 1)
        squares = [block.power(2).sum(0) for block in design.sparse]
        return cls(
            np.ascontiguousarray(basis, dtype=dense.dtype),
            energies.astype(dense.dtype)[:, None],
            max(total - float(energies.sum()), 0.0) / left,
            np.concatenate([np.empty(0), *squares]).astype(dense.dtype)[:, None],
        )

    def solve(self, residual: Matrix, scale: Matrix) -> Matrix:
        """Roughly (I + scale X^T X)^-1 R.

        Args:
            residual: R, (dim, classes).
            scale: (classes,) cost times the mean weight of a row.
        """
        dense = len(self.basis)
        common = 1 / (1 + scale * self.rest)
        within = self.basis.T @ residual[:dense]
        within *= 1 / (1 + scale * self.energies) - common
        solved = residual[:dense] * common
        solved += self.basis @ within
        return np.concatenate([solved, residual[dense:] / (1 + scale * self.squares)])


def _whole(dense: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvectors (dense_dim, rank) and eigenvalues (rank,) of dense^T dense, from its thinner side."""
    rows, dim = dense.shape
    if dim <= rows:
        energies, basis = np.linalg.eigh((dense.T @ dense).astype(np.float64))
        return basis, np.maximum(energies, 0)
    energies, left = np.linalg.eigh((dense @ dense.T).astype(np.float64))
    kept = energies > 1e-6 * energies[-1]
    energies, left = energies[kept], left[:, kept]
    return dense.T @ (left / np.sqrt(energies)).astype(dense.dtype), energies


def _leading(dense: Matrix) -> tuple[Matrix, Matrix]:
    """The leading eigenpairs of dense^T dense by a Nyström sketch (Frangella, Tropp, Udell 2021).

    One pass over the rows more than the paper's sharpens the basis (subspace iteration).
    """
    rng = np.random.default_rng(0)
    sketch = rng.normal(size=(dense.shape[1], _RANK + _OVERSAMPLING)).astype(dense.dtype)
    test = np.linalg.qr(dense.T @ (dense @ sketch))[0]
    image = dense.T @ (dense @ test)
    shift = float(np.finfo(dense.dtype).eps * np.linalg.norm(image))
    image += shift * test
    core = (test.T @ image).astype(np.float64)
    half = np.linalg.cholesky((core + core.T) / 2)
    basis, roots, _ = np.linalg.svd(np.linalg.solve(half, image.T.astype(np.float64)).T, full_matrices=False)
    return basis[:, :_RANK], np.maximum(np.square(roots[:_RANK]) - shift, 0)
