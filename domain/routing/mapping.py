"""One scale for what a router says: quality in [0, 1], scores in [-1, 1], logits; in training and serving alike.

score = 2 quality - 1 = tanh(logit), so quality = sigmoid(2 logit).
"""

from __future__ import annotations

from fusionapp.domain.arrays import A, namespace

_LARGEST_SCORE = 1 - 1e-6
"""Beyond it float32 would round to 1, whose logit is infinite."""


def score_of_quality(quality: A) -> A:
    """(...,) in [0, 1] -> 2 quality - 1 in [-1, 1]; NaN stays NaN."""
    score: A = quality * 2.0 - 1.0
    return score


def quality_of_score(score: A) -> A:
    """(...,) in [-1, 1] -> (score + 1) / 2 in [0, 1]; NaN stays NaN."""
    quality: A = (score + 1.0) / 2.0
    return quality


def score_of_logit(logit: A) -> A:
    """(...,) any real -> tanh(logit) in [-1, 1]."""
    score: A = namespace(logit).tanh(logit)
    return score


def logit_of_score(score: A) -> A:
    """(...,) -> artanh(score) of scores cut off at 1e-6 from -1 and 1, so that it is finite: at most 7.25."""
    xp = namespace(score)
    cut = xp.clip(score, -_LARGEST_SCORE, _LARGEST_SCORE)
    logit: A = xp.log((1.0 + cut) / (1.0 - cut)) / 2.0  # NumPy's atanh takes six times as long
    return logit
