"""Tokens are estimated, and texts cut and batched, by a rule that is written down."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from fusionapp.adapters.openai_compatible.tokens import batches, cut, estimate_tokens

UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 1), ("rain", 1), ("rains", 2), ("a" * 400, 100), ("雨" * 10, 10), ("дождь", 4), ("ab雨", 2)],
)
def test_a_token_is_four_ascii_characters_or_three_other_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(UNICODE, st.integers(1, 20))
def test_a_cut_text_is_the_longest_beginning_that_fits(text: str, most: int) -> None:
    kept = cut(text, most)

    assert text.startswith(kept)
    assert estimate_tokens(kept) <= most
    assert kept == text or estimate_tokens(text[: len(kept) + 1]) > most


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 50), st.integers(1, 9))
def test_batches_are_neighbours_within_both_bounds(tokens: list[int], budget: int, most: int) -> None:
    cuts = batches(tokens, budget, most)

    assert [row for rows in cuts for row in rows] == list(range(len(tokens)))
    for rows in cuts:
        assert 1 <= len(rows) <= most
        assert len(rows) == 1 or sum(tokens[row] for row in rows) <= budget


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 50), st.integers(1, 9))
def test_no_batch_could_have_taken_the_next_text(tokens: list[int], budget: int, most: int) -> None:
    cuts = batches(tokens, budget, most)

    for rows in cuts[:-1]:
        assert len(rows) == most or sum(tokens[row] for row in rows) + tokens[rows.stop] > budget
