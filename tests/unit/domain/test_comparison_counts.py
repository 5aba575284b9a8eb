"""How often models can be compared, over scores and battles alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import Battles, ScoreMatrix
from fusionapp.domain.routing.comparison_counts import count_pairs, often_enough
from fusionapp.domain.routing.comparisons import comparisons, enough_compared
from fusionapp.domain.routing.conversions import battles_of_scores

MODELS = ("a", "b", "c", "d")
qualities = arrays.arrays(np.float64, (5, 4), elements=st.one_of(st.floats(0, 1), st.just(math.nan)))
fights = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda two: two[0] != two[1]), max_size=8
)


def battles(pairs: list[tuple[int, int]]) -> Battles:
    first, second = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    return Battles(MODELS, np.zeros(len(pairs), np.int64), first, second, np.zeros(len(pairs), np.int8))


def together(quality: Any, pairs: list[tuple[int, int]]) -> Battles:
    """All that can be compared, written out as battles."""
    made, fought = battles_of_scores(ScoreMatrix(MODELS, quality, quality, quality)), battles(pairs)
    joined = [
        np.concatenate([getattr(made, key), getattr(fought, key)])
        for key in ("prompts", "first", "second", "outcome")
    ]
    return Battles(MODELS, *joined)


@given(qualities, fights)
def test_pairs_are_what_a_loop_counts(quality: Any, pairs: list[tuple[int, int]]) -> None:
    expected = np.zeros((4, 4), dtype=np.int64)
    for row in quality:
        for one in range(4):
            for other in range(4):
                expected[one, other] += one != other and not math.isnan(row[one] + row[other])
    for one, other in pairs:
        expected[one, other] += 1
        expected[other, one] += 1
    np.testing.assert_array_equal(count_pairs(quality, battles(pairs)), expected)


@given(qualities, fights, st.integers(1, 8))
def test_counts_agree_with_battles_written_out(
    quality: Any, pairs: list[tuple[int, int]], minimum: int
) -> None:
    counts, written = count_pairs(quality, battles(pairs)), together(quality, pairs)
    np.testing.assert_array_equal(counts.sum(axis=1), comparisons(written))
    try:
        expected = enough_compared(written, minimum)
    except UsageError:
        with pytest.raises(UsageError, match=f"min_model_comparisons {minimum} leaves fewer than two models"):
            often_enough(counts, minimum)
        return
    kept = often_enough(counts, minimum)
    assert [model for model, keep in zip(MODELS, kept, strict=True) if keep] == expected


@given(qualities, st.integers(1, 5))
def test_a_higher_minimum_keeps_no_other_models(quality: Any, minimum: int) -> None:
    counts = count_pairs(quality, battles([(0, 1)] * 9))
    assert not (often_enough(counts, minimum + 1) & ~often_enough(counts, minimum)).any()
