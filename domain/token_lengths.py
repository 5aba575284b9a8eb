"""How long texts are, in tokens."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen
class TokenLengths:
    """Quantiles of the lengths of texts, before anything is cut; each is the length of a text that there is.

    Attributes:
        minimum: the shortest.
        median: half the texts are no longer.
        p90: 90 % of the texts are no longer.
        p95: 95 %.
        p99: 99 %.
        maximum: the longest.
        mean: of all.
        truncated: share of the texts, in [0, 1], that are cut.
    """

    minimum: int
    median: int
    p90: int
    p95: int
    p99: int
    maximum: int
    mean: float
    truncated: float

    @classmethod
    def of(cls, lengths: NDArray[np.integer], truncated: int) -> TokenLengths:
        """From each text's length.

        A quantile is the smallest length that at least its share of the texts do not exceed: the inverted
        distribution function, definition 1 of Hyndman and Fan (1996).

        Args:
            lengths: (texts,) tokens, at least one text.
            truncated: how many of the texts are cut.
        """
        ordered = np.sort(lengths)
        rows = len(ordered)
        # Whole per cents, so that no product like 0.95 * 20 comes out a hair above 19.
        at = {
            percent: int(ordered[max(-(-percent * rows // 100) - 1, 0)])
            for percent in (0, 50, 90, 95, 99, 100)
        }
        return cls(
            minimum=at[0],
            median=at[50],
            p90=at[90],
            p95=at[95],
            p99=at[99],
            maximum=at[100],
            mean=float(ordered.mean()),
            truncated=truncated / rows,
        )
