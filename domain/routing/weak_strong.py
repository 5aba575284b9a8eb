"""Routing between a weak and a strong model: APGR and CPT (Ong et al. 2024, RouteLLM).

With a share c of the prompts sent to the strong model, those of highest gain by the router's word first, the
performance gap recovered is PGR(c) = (q(c) - q(weak)) / (q(strong) - q(weak)): 0 at c = 0 and 1 at c = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.statistics.bootstrap import DRAWS, Replicates, resample_weights

Floats = NDArray[np.floating]


@attrs.frozen(eq=False)
class Handover:
    """Prompts in the order in which they are handed to the strong model; equals are handed over together.

    Attributes:
        gain: (prompts,) float64 strong less weak quality, in that order.
        order: (prompts,) int64 the prompts' rows, in that order.
        starts: (groups,) int64 where each group of equally scored prompts starts.
    """

    gain: NDArray[np.float64]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, lead: Floats, weak: Floats, strong: Floats) -> Handover:
        """Order prompts by the router's lead of the strong model over the weak one.

        Args:
            lead: (prompts,) score of the strong less that of the weak model.
            weak: (prompts,) quality of the weak model's answers.
            strong: (prompts,) quality of the strong model's.

        Raises:
            UsageError: no prompts, a quality that is unknown, or lengths that differ.
        """
        if not len(lead) == len(weak) == len(strong) > 0:
            raise UsageError(f"weak and strong: {len(lead)} leads, {len(weak)} and {len(strong)} qualities")
        gain = np.asarray(strong, dtype=np.float64) - weak
        if np.isnan(gain).any() or np.isnan(lead).any():
            raise UsageError("weak and strong: leave out prompts that one of the two models did not answer")
        order = np.argsort(-lead, kind="stable")
        starts = np.flatnonzero(np.concatenate([[True], np.diff(lead[order]) != 0]))
        return cls(gain[order], order, starts)

    def curves(self, weights: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares handed over and PGR at the groups' ends, both (draws, groups + 1), from weights (draws, prompts).

        PGR is NaN in a draw in which the strong model is not better than the weak one.
        """
        drawn = np.asarray(weights, dtype=np.float64)[:, self.order]
        calls = _running(np.add.reduceat(drawn, self.starts, axis=1))
        gains = _running(np.add.reduceat(drawn * self.gain, self.starts, axis=1))
        whole = gains[:, -1:].round(12)
        recovered = np.divide(gains, whole, out=np.full_like(gains, np.nan), where=whole > 0)
        return calls / calls[:, -1:], recovered


def apgr(handover: Handover) -> float:
    """Mean PGR over all shares of calls from 0 to 1: the whole area, where the paper adds up ten shares.

    A random order has 1/2 in expectation. NaN where the strong model is not better.
    """
    return float(_area(*handover.curves(np.ones((1, len(handover.order)))))[0])


def cpt(handover: Handover, recovered: float) -> float:
    """Call-performance threshold: the least share of calls to the strong model at which PGR is `recovered`.

    Args:
        handover: the order.
        recovered: PGR wanted, in (0, 1]: .5 and .8 in the paper.

    Returns:
        A share in [0, 1], straight lines between prompts; NaN where the strong model is not better.

    Raises:
        UsageError: `recovered` outside (0, 1].
    """
    return float(_crossing(*handover.curves(np.ones((1, len(handover.order)))), recovered)[0])


def bootstrap_handover(
    handover: Handover, recovered: Sequence[float] = (0.5, 0.8), draws: int = DRAWS, seed: int = 0
) -> dict[str, Replicates]:
    """(draws,) replicates of ``apgr`` and of ``cpt@50``, ``cpt@80``, over resampled prompts.

    The same prompts, draws and seed pair with every other bootstrap. NaN in a draw in which the strong model is
    not better.
    """
    parts: dict[str, list[NDArray[np.float64]]] = {}
    for weights in resample_weights(len(handover.order), draws, seed):
        shares, curve = handover.curves(weights)
        parts.setdefault("apgr", []).append(_area(shares, curve))
        for each in recovered:
            parts.setdefault(f"cpt@{100 * each:.0f}", []).append(_crossing(shares, curve, each))
    return {name: np.concatenate(each).round(12) for name, each in parts.items()}


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)


def _area(shares: NDArray[np.float64], curve: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = (np.diff(shares, axis=1) * (curve[:, 1:] + curve[:, :-1])).sum(axis=1) / 2
    return area


def _crossing(
    shares: NDArray[np.float64], curve: NDArray[np.float64], recovered: float
) -> NDArray[np.float64]:
    """(draws,) the first share at which the curve reaches a height."""
    if not 0 < recovered <= 1:
        raise UsageError(f"CPT at a recovery of {recovered}; use a share above 0 and up to 1, such as 0.5")
    reached = curve >= min(recovered, 1 - 1e-12)
    rows = np.arange(len(curve))
    after = np.maximum(reached.argmax(axis=1), 1)  # the curve starts at 0, below any height
    low, high = curve[rows, after - 1], curve[rows, after]
    left, right = shares[rows, after - 1], shares[rows, after]
    rise = np.where(high > low, high - low, 1.0)
    crossing = left + (right - left) * np.clip((recovered - low) / rise, 0.0, 1.0)
    return np.where(reached.any(axis=1), crossing, np.nan)
