"""McNemar's test of two classifiers on the same rows."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError

_EXACT_BELOW = 25


@attrs.frozen
class McNemar:
    """Where two classifiers disagree about being right.

    Attributes:
        only_first: rows that only the first gets right.
        only_second: rows that only the second gets right.
        p_value: two-sided, of both being right equally often.
        exact: True for the binomial test, False for chi-squared.
    """

    only_first: int
    only_second: int
    p_value: float
    exact: bool


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> McNemar:
    """McNemar (1947), exact binomial below 25 discordant rows, else chi-squared with Edwards' correction.

    Args:
        first_right: (rows,) True where the first classifier's prediction is the label.
        second_right: (rows,) the same for the second.

    Raises:
        UsageError: lengths that differ.
    """
    from scipy.stats import binomtest, chi2  # half a second to import, and only needed here

    if len(first_right) != len(second_right):
        raise UsageError(f"McNemar: {len(first_right)} and {len(second_right)} rows; score the same rows")
    b = int(np.count_nonzero(first_right & ~second_right))
    c = int(np.count_nonzero(second_right & ~first_right))
    if b + c == 0:
        return McNemar(0, 0, 1.0, exact=True)
    if b + c < _EXACT_BELOW:
        return McNemar(b, c, float(binomtest(b, b + c).pvalue), exact=True)
    statistic = max(abs(b - c) - 1, 0) ** 2 / (b + c)
    return McNemar(b, c, float(chi2.sf(statistic, df=1)), exact=False)
