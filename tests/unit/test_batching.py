from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, strategies as st

from fusionapp.domain.batching import token_batches, token_packs

LENGTHS = st.lists(st.integers(0, 300), max_size=200)
BUDGETS = st.integers(1, 2000)


@given(LENGTHS, BUDGETS)
def test_every_text_stands_in_exactly_one_batch(lengths: list[int], budget: int) -> None:
    batches = token_batches(lengths, budget)

    rows = [int(row) for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))


@given(LENGTHS, BUDGETS)
def test_no_batch_of_several_texts_exceeds_the_budget(lengths: list[int], budget: int) -> None:
    sizes = np.array(lengths)

    for batch in token_batches(lengths, budget):
        assert len(batch) == 1 or len(batch) * max(1, sizes[batch].max()) <= budget


@given(LENGTHS, BUDGETS)
def test_batches_go_from_long_to_short(lengths: list[int], budget: int) -> None:
    ordered = [lengths[row] for batch in token_batches(lengths, budget) for row in batch]

    assert ordered == sorted(lengths, reverse=True)


def test_equal_lengths_stay_in_input_order() -> None:
    batches = token_batches([4, 4, 4, 4], 8)

    assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3]]


def test_a_text_longer_than_the_budget_stands_alone() -> None:
    batches = token_batches([3, 50, 3], 10)

    assert [batch.tolist() for batch in batches] == [[1], [0, 2]]


def test_no_texts_make_no_batches() -> None:
    assert token_batches([], 10) == []


@given(LENGTHS, BUDGETS)
def test_packs_hold_every_text_once_from_long_to_short(lengths: list[int], budget: int) -> None:
    rows = [int(row) for part in token_packs(lengths, budget) for row in part]

    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)


@given(LENGTHS, BUDGETS)
def test_no_pack_of_several_texts_exceeds_the_budget_and_none_could_hold_the_next_text(
    lengths: list[int], budget: int
) -> None:
    sizes = np.array(lengths)
    packs = token_packs(lengths, budget)

    for part in packs:
        assert len(part) == 1 or sizes[part].sum() <= budget
    for part, following in pairwise(packs):
        assert sizes[part].sum() + sizes[following[0]] > budget
