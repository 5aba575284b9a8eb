"""What may be said of a comparison: never more than its interval and its corrected p-value allow."""

from __future__ import annotations

from typing import Literal

from fusionapp.domain.statistics.bootstrap import Interval

Verdict = Literal["better", "worse", "not separable"]


def verdict(difference: Interval, adjusted_p: float, level: float = 0.05) -> Verdict:
    """Say whether a result beats a control, on a metric where more is better.

    Args:
        difference: 95 % interval of the result's score less the control's.
        adjusted_p: its p-value, corrected for all the controls (see `holm`).
        level: chance of a false claim that is borne.

    Returns:
        "better" where the result beats the control, "worse" where the control beats the result.
    """
    if adjusted_p >= level or difference.low <= 0 <= difference.high:
        return "not separable"
    return "better" if difference.low > 0 else "worse"
