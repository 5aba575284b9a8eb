"""Texts that no encoder could send or read are mended."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.unicode import mend_surrogates


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("\ud800 lone", "\ufffd lone"),
        ("lone \udc00", "lone \ufffd"),
        ("\ud83d\ude00", "😀"),
        ("whole 😀", "whole 😀"),
        ("", ""),
    ],
)
def test_half_a_pair_becomes_the_replacement_character(text: str, mended: str) -> None:
    assert mend_surrogates(text) == mended


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_that_is_whole_stays_as_it_is(text: str) -> None:
    assert mend_surrogates(text) == text
