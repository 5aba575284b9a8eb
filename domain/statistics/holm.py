"""Holm's step-down correction for several comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Name = TypeVar("Name")


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Adjusted p-values (Holm 1979): the i-th smallest of m times (m - i), never falling, at most 1.

    The chance that any true null is rejected stays at the level that the adjusted values are held against,
    however the tests depend on one another.

    Args:
        p_values: by comparison, each in [0, 1].

    Returns:
        By comparison, in the order given.
    """
    adjusted: dict[Name, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, (len(p_values) - rank) * p_values[name])
        adjusted[name] = min(1.0, highest)
    return {name: adjusted[name] for name in p_values}
