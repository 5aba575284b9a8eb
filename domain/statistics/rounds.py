"""Bootstrap over draws and examples at once: few-shot scores vary by both.

No bootstrap is exact for two crossed factors (McCullagh 2000); resampling each on its own, the pigeonhole
bootstrap, errs on the side of wide intervals (Owen 2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.statistics.bootstrap import Replicates


def draw_weights(draws: int, replicates: int, seed: int = 0) -> NDArray[np.float64]:
    """(replicates, draws): what each draw counts for in each replicate; rows sum to 1.

    One draw fewer than there are is taken, with replacement: the variance of the mean is then unbiased (McCarthy
    and Snowden 1985), where taking all of them makes ten draws look a tenth less variable than they are.

    Raises:
        UsageError: fewer than two draws.
    """
    if draws < 2:
        raise UsageError(f"bootstrap: {draws} draws do not tell how much draws vary; use 2 or more")
    taken = np.random.default_rng(seed).integers(0, draws, size=(replicates, draws - 1))
    taken += np.arange(replicates)[:, None] * draws
    counts = np.bincount(taken.ravel(), minlength=replicates * draws).reshape(replicates, draws)
    return counts / (draws - 1)


def bootstrap_draws(by_draw: NDArray[np.floating], seed: int = 0) -> Replicates:
    """Replicates (replicates,) of a score's mean over draws, resampling draws and examples.

    Args:
        by_draw: (draws, replicates) of each draw's score, all over the same resampled examples; two results
            over the same draws and examples stay paired.
        seed: of the resampled draws.

    Raises:
        UsageError: fewer than two draws.
    """
    draws, replicates = by_draw.shape
    weights = draw_weights(draws, replicates, seed)
    mean: Replicates = np.einsum("dr,rd->r", np.asarray(by_draw, dtype=np.float64), weights)
    return mean
