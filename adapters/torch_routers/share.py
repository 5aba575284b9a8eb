"""How much of a network a router keeps beside its base."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing.mapping import score_of_logit
from fusionapp.domain.routing.metrics import chosen_quality

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_SURE = 2.24
"""One-sided 95 % of a normal distribution for the best of four shares (Bonferroni), in standard errors."""
Floats = NDArray[np.float32]


def joined(base: Floats, network: Floats, share: float) -> Floats:
    """Scores (prompts, models) in [-1, 1] of logits of both."""
    scores: Floats = score_of_logit(base + np.float32(share) * network).astype(np.float32)
    return scores


def choose_share(base: Floats, network: Floats, quality: NDArray[np.floating]) -> float:
    """The share whose chosen answers are best on validation, the smallest of equals.

    It is 0 unless the gain over the base alone is above 2.24 paired standard errors: of several shares, one comes
    out ahead by chance, and a router must not fall below its base for that.

    Args:
        base: (prompts, models) logits.
        network: (prompts, models) logits.
        quality: (prompts, models); NaN where unknown.
    """
    chosen = [chosen_quality(quality, joined(base, network, share).argmax(axis=1)) for share in SHARES]
    known = ~np.isnan(np.stack(chosen)).any(axis=0)
    if known.sum() < 2:
        return 0.0
    gains = [(each - chosen[0])[known] for each in chosen]
    best = int(np.argmax([gain.mean() for gain in gains]))
    error = gains[best].std(ddof=1) / np.sqrt(known.sum())
    return SHARES[best] if gains[best].mean() > _SURE * error else 0.0
