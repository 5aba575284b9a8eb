"""How little a paired comparison's p-value can be, whatever it is computed by: a matter of how many units differ.

Where two contenders are alike, each unit's difference has either sign with equal chance, so that the observed
signs are one of 2^k equally likely ways to give k differences a sign: Fisher's randomisation test of pairs
(Fisher 1935, chapter 3; Good 2005, "Permutation, Parametric and Bootstrap Tests of Hypotheses"). The observed
way and the one with every sign turned are always among those whose mean is at least as far from 0, so that a
two-sided p-value is at least 2 / 2^k, and just that where all differences have one sign. Bootstrap draws do not
know it: five rows that all differ one way differ that way in every draw.

A unit is what is sampled independently: a text. The runs (seeds) and few-shot draws that score one text are no
units of their own, as a text that is hard for one of them is hard for the others: their mean is that text's
score.
"""

from __future__ import annotations

from math import ldexp

import numpy as np
from numpy.typing import NDArray

_DECIMALS = 12
"""Shares of seeds are no binary fractions: unrounded, equal means would differ by chance."""


def differing_units(first: NDArray[np.floating], second: NDArray[np.floating]) -> int:
    """On how many units two contenders' scores (units,), means over their runs, differ."""
    return int(np.count_nonzero(np.round(first - second, _DECIMALS)))


def least_p_value(differing: int) -> float:
    """The least two-sided p-value of a paired comparison: 2 / 2^k, 1 where k is 0.

    Args:
        differing: k, on how many units the two differ.
    """
    return min(1.0, ldexp(1.0, 1 - differing))
