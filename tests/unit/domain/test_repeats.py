from __future__ import annotations

from hypothesis import given, strategies as st

from fusionapp.domain.repeats import digest_texts, first_rows, number_rows

TEXTS = st.lists(st.sampled_from(["a", "b", "", "ab", "\ud800", "a "]), max_size=30)


@given(TEXTS)
def test_each_row_is_given_the_first_row_that_holds_its_text(texts: list[str]) -> None:
    found = first_rows(iter(texts), len(texts))

    expected = [texts.index(text) for text in texts]
    assert (list(range(len(texts))) if found is None else found.tolist()) == expected


def test_texts_that_all_differ_have_no_repeats() -> None:
    assert first_rows(map(str, range(1000)), 1000) is None


def test_no_texts_have_no_repeats() -> None:
    assert first_rows([], 0) is None


@given(TEXTS)
def test_distinct_texts_are_numbered_in_the_order_of_first_appearance(texts: list[str]) -> None:
    numbers, firsts = number_rows(digest_texts(texts))

    distinct = list(dict.fromkeys(texts))
    assert numbers.tolist() == [distinct.index(text) for text in texts]
    assert firsts.tolist() == [texts.index(text) for text in distinct]
