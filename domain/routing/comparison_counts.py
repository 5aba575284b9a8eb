"""How often each two models can be compared, over scores and battles alike, without writing battles out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import Battles

Counts = NDArray[np.int64]


def count_pairs(quality: NDArray[np.float64], battles: Battles) -> Counts:
    """Battles of each two models, and prompts on which both have a score.

    Args:
        quality: (prompts, models) NaN where unknown.
        battles: over the same models.

    Returns:
        (models, models) int64, symmetric, 0 on the diagonal.
    """
    known = np.isfinite(quality).astype(np.float64)
    both = np.rint(known.T @ known).astype(np.int64)
    np.fill_diagonal(both, 0)
    np.add.at(both, (battles.first, battles.second), 1)
    np.add.at(both, (battles.second, battles.first), 1)
    return both


def often_enough(counts: Counts, minimum: int) -> NDArray[np.bool_]:
    """(models,) whether each has at least `minimum` comparisons with others that have.

    A model left out takes its comparisons with it, so others may then have too few: this goes on until all have
    enough.

    Raises:
        UsageError: fewer than two models are left.
    """
    kept = np.ones(len(counts), dtype=np.bool_)
    while True:
        enough = kept & ((counts[:, kept]).sum(axis=1) >= minimum)
        if (enough == kept).all():
            break
        kept = enough
    if kept.sum() < 2:
        raise UsageError(
            f"min_model_comparisons {minimum} leaves fewer than two models; the most compared of {len(kept)} has "
            f"{int(counts.sum(axis=1).max(initial=0))} comparisons"
        )
    return kept
