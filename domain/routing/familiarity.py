"""How unlike the prompts of train a prompt is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import l2_normalize

_CELLS_AT_ONCE = 16_000_000


def unfamiliarity(
    prompts: NDArray[np.float32], train: NDArray[np.float32], neighbours: int = 10
) -> NDArray[np.float32]:
    """1 - mean cosine to the nearest prompts of train, (prompts,) float32 in [0, 2].

    Args:
        prompts: (prompts, dim) embeddings of any length; one of zeros has cosine 0 to all.
        train: (train, dim).
        neighbours: how many nearest count, at most the rows of train.

    Raises:
        UsageError: too few rows of train, or widths that differ.
    """
    _check(prompts, train, neighbours, len(train))
    return _mean_distance(prompts, train, neighbours)


def familiar_below(
    train: NDArray[np.float32],
    neighbours: int = 10,
    quantile: float = 0.99,
    most: int = 10_000,
    seed: int = 0,
) -> float:
    """The unfamiliarity above which a prompt is unlike train: a quantile of train's own, each row left out once.

    Of a large train a sample of rows is asked, each still among all others: the work would grow with the square.

    Args:
        train: (train, dim) embeddings.
        neighbours: as in `unfamiliarity`; fewer than the rows of train.
        quantile: share of train's prompts that pass, in (0, 1).
        most: rows of train that are asked at most, drawn at random.
        seed: of the draw.

    Raises:
        UsageError: too few rows of train, or a quantile outside (0, 1).
    """
    if not 0 < quantile < 1:
        raise UsageError(f"quantile {quantile} is not between 0 and 1; use 0.99")
    _check(train, train, neighbours, len(train) - 1)
    rows = np.arange(len(train))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return float(np.quantile(_mean_distance(train[rows], train, neighbours, rows), quantile))


def _mean_distance(
    prompts: NDArray[np.float32],
    train: NDArray[np.float32],
    neighbours: int,
    own: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """(prompts,); `own` are the prompts' rows in train, each no neighbour of itself."""
    known = l2_normalize(train)
    distances = np.empty(len(prompts), dtype=np.float32)
    size = max(1, _CELLS_AT_ONCE // len(train))
    for start in range(0, len(prompts), size):
        cosines = l2_normalize(prompts[start : start + size]) @ known.T
        if own is not None:
            cosines[np.arange(len(cosines)), own[start : start + size]] = -np.inf
        cosines.partition(cosines.shape[1] - neighbours, axis=1)
        distances[start : start + size] = 1 - cosines[:, -neighbours:].mean(axis=1)
    return distances


def _check(prompts: NDArray[np.float32], train: NDArray[np.float32], neighbours: int, available: int) -> None:
    if not 1 <= neighbours <= available:
        raise UsageError(f"{neighbours} nearest neighbours of {available} prompts; use 1 to {available}")
    if prompts.shape[1] != train.shape[1]:
        raise UsageError(f"prompts have width {prompts.shape[1]}, but train has {train.shape[1]}")
