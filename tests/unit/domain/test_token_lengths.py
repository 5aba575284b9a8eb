"""Quantiles of lengths: by a slow loop, by numpy, and by what they promise."""

from __future__ import annotations

import attrs
import numpy as np
from hypothesis import given, strategies as st

from fusionapp.domain.token_lengths import TokenLengths

LENGTHS = st.lists(st.integers(0, 10_000), min_size=1, max_size=300)
SHARES = {"minimum": 0, "median": 50, "p90": 90, "p95": 95, "p99": 99, "maximum": 100}


def slow(lengths: list[int], percent: int) -> int:
    """The smallest length that so many per cent of the texts do not exceed."""
    for length in sorted(lengths):
        if 100 * sum(other <= length for other in lengths) >= percent * len(lengths):
            return length
    raise AssertionError


@given(LENGTHS)
def test_quantiles_are_those_of_the_slow_loop(lengths: list[int]) -> None:
    found = attrs.asdict(TokenLengths.of(np.array(lengths), 0))
    assert {name: found[name] for name in SHARES} == {name: slow(lengths, p) for name, p in SHARES.items()}


@given(LENGTHS)
def test_quantiles_are_numpys_inverted_distribution_function(lengths: list[int]) -> None:
    found = attrs.asdict(TokenLengths.of(np.array(lengths), 0))
    for name, percent in SHARES.items():
        # numpy multiplies floats; a hair away from a whole number it may take the next text.
        near = [np.quantile(lengths, p, method="inverted_cdf") for p in _around(percent / 100)]
        assert found[name] in near


@given(LENGTHS, st.integers(0, 300))
def test_quantiles_rise_and_the_share_is_one_of_all_texts(lengths: list[int], cut: int) -> None:
    cut = min(cut, len(lengths))
    found = TokenLengths.of(np.array(lengths, dtype=np.int32), cut)
    rising = [getattr(found, name) for name in SHARES]
    assert rising == sorted(rising)
    assert set(rising) <= set(lengths)
    assert found.mean == np.mean(lengths)
    assert found.truncated * len(lengths) - cut < 1e-9


def test_whole_shares_are_exact() -> None:
    """0.95 * 20 is no more than 19 texts."""
    found = TokenLengths.of(np.arange(1, 21), 1)
    assert (found.median, found.p90, found.p95, found.p99, found.truncated) == (10, 18, 19, 20, 0.05)


def _around(share: float) -> list[float]:
    return [max(share - 1e-12, 0.0), share, min(share + 1e-12, 1.0)]
