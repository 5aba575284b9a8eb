"""What is known of models' answers to prompts: scores, and battles of two."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

FIRST, SECOND, TIE, BOTH_BAD = 1, -1, 0, 2
"""Outcomes of a battle."""


@attrs.frozen(eq=False)
class ScoreMatrix:
    """Every known answer's quality, with what it took.

    Attributes:
        models: names, in the order of columns.
        quality: (prompts, models) float64 in [0, 1]; NaN where a model did not answer.
        cost: (prompts, models) float64, USD; NaN where unknown.
        latency: (prompts, models) float64, seconds; NaN where unknown.
    """

    models: Sequence[str]
    quality: NDArray[np.float64]
    cost: NDArray[np.float64]
    latency: NDArray[np.float64]


@attrs.frozen(eq=False)
class Battles:
    """Answers of two models to one prompt, compared.

    Attributes:
        models: names, in the order of model numbers.
        prompts: (battles,) int64 prompt rows.
        first: (battles,) int64 model numbers.
        second: (battles,) int64 model numbers, other than `first`.
        outcome: (battles,) int8: `FIRST`, `SECOND`, `TIE` or `BOTH_BAD`.
    """

    models: Sequence[str]
    prompts: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    outcome: NDArray[np.int8]
