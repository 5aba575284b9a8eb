"""Strengths of models, whatever the prompt (Bradley and Terry 1952)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing.answers import FIRST, SECOND, Battles

_STEPS = 10_000
_TOLERANCE = 1e-10


def log_strengths(battles: Battles, prior: float = 1.0) -> NDArray[np.float64]:
    """ln of each model's strength, (models,) of mean 0: a model beats another with odds of their strengths' ratio.

    Maximised by Hunter's minorisation (2004), g_i <- wins_i / sum_j battles_ij / (g_i + g_j), from strength 1. A
    tie, and a battle that both lost, is half a win of each. The prior is that many battles of every model against
    a virtual one of strength 1, half of them won: it keeps a model that always won finite, and joins models that
    never met.

    Args:
        battles: whatever their prompts.
        prior: virtual battles of each model, above 0.

    Returns:
        Zeros where there are no battles.
    """
    models = len(battles.models)
    met = np.zeros((models, models))
    np.add.at(met, (battles.first, battles.second), 1.0)
    met += met.T
    share = np.select([battles.outcome == FIRST, battles.outcome == SECOND], [1.0, 0.0], 0.5)
    sides, shares = np.concatenate([battles.first, battles.second]), np.concatenate([share, 1 - share])
    wins = np.bincount(sides, weights=shares, minlength=models) + prior / 2
    strength = np.ones(models)
    for _ in range(_STEPS):
        expected = (met / (strength[:, None] + strength)).sum(1) + prior / (strength + 1)
        stepped = wins / expected
        moved = np.abs(np.log(stepped / strength)).max(initial=0.0)
        strength = stepped
        if moved < _TOLERANCE:
            break
    logs: NDArray[np.float64] = np.log(strength)
    return logs - logs.mean() if models else logs
