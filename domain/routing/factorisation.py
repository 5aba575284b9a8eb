"""Quality as a low-rank product of prompts and models, the prompts' side a linear map of their embeddings."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from fusionapp.domain.errors import UsageError

Floats = NDArray[np.floating]

_SWEEPS = 100
_TOLERANCE = 1e-6


@attrs.frozen(eq=False)
class Factorisation:
    """quality = (embedding - centre) prompt_map model_factors^T + level.

    Attributes:
        centre: (dim,) float64 mean embedding of train.
        prompt_map: (dim, rank) float64.
        model_factors: (models, rank) float64, orthonormal columns.
        level: (models,) float64 quality at the centre.
    """

    centre: NDArray[np.float64]
    prompt_map: NDArray[np.float64]
    model_factors: NDArray[np.float64]
    level: NDArray[np.float64]

    @classmethod
    def fit(cls, embeddings: Floats, quality: Floats, rank: int, penalty: float) -> Factorisation:
        """The map of at most a rank that minimises squared error + penalty * |map|^2.

        Where all qualities are known this is reduced-rank ridge regression, in closed form: the ridge solution,
        projected on the leading right singular vectors of its fitted values, the penalty's rows included
        (Mukherjee and Zhu 2011). Unknown qualities are filled in by the model's own word and it is fitted anew, in
        turns, which lowers the objective over the known ones in every turn (Srebro and Jaakkola 2003).

        Args:
            embeddings: (prompts, dim).
            quality: (prompts, models) in [0, 1]; NaN where unknown.
            rank: most factors; no more than models or dim are used.
            penalty: ridge's, above 0.

        Raises:
            UsageError: a rank below 1, a penalty that is not above 0, a model without any known quality, or rows
                that differ.
        """
        _check(embeddings, quality, rank, penalty)
        known = ~np.isnan(quality)
        centre = embeddings.mean(axis=0, dtype=np.float64)
        X = embeddings - centre
        gram = cho_factor(X.T @ X + penalty * np.eye(X.shape[1]))
        filled = np.where(known, quality, np.nanmean(quality, axis=0, dtype=np.float64))
        for _ in range(_SWEEPS):
            level = np.asarray(filled.mean(axis=0), dtype=np.float64)
            Y = filled - level
            ridge = cho_solve(gram, X.T @ Y)
            # The fitted values' Gram matrix, the penalty's rows included, is B^T (X^T X + penalty) B = B^T X^T Y.
            _, vectors = np.linalg.eigh(ridge.T @ (X.T @ Y))
            factors = vectors[:, ::-1][:, :rank]
            mapped = ridge @ factors
            told = X @ mapped @ factors.T + level
            moved = np.abs(told - filled)[~known].max(initial=0.0)
            filled = np.where(known, quality, told)
            if moved < _TOLERANCE:
                break
        return cls(centre, mapped, factors, level)

    def __call__(self, embeddings: Floats) -> NDArray[np.float32]:
        """Foretold quality (prompts, models) of embeddings (prompts, dim), not cut to [0, 1]."""
        told = (embeddings - self.centre) @ self.prompt_map @ self.model_factors.T + self.level
        return told.astype(np.float32)


def _check(embeddings: Floats, quality: Floats, rank: int, penalty: float) -> None:
    if len(embeddings) != len(quality):
        raise UsageError(f"{len(embeddings)} embeddings, but qualities of {len(quality)} prompts")
    if rank < 1 or not penalty > 0:
        raise UsageError(f"rank {rank} and penalty {penalty}; use a rank of 1 or more and a penalty above 0")
    silent = np.flatnonzero(np.isnan(quality).all(axis=0))
    if len(silent):
        raise UsageError(f"models in columns {silent.tolist()} answered no prompt; leave them out")
