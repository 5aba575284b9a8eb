"""Counts of many texts at once agree with loops over one text."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.routing import text_counts, word_groups
from fusionapp.domain.routing.text_counts import count_texts
from fusionapp.domain.routing.text_shapes import SHAPES

PIECES = [
    *"aAbBzZ  \n\n\t\r_[]{};'’().,-*•19:?`>#\\/=+$",
    *("\r\n", "\u2028", "\xa0", "İ", "ı", "é", "σ", "А", "你", "\ud800", "\U0001f600", "\U00020005"),
    *("http", "www.", "[MASK]", "[BLANK]", "def ", "the ", "don't ", "can’t ", "A) ", "1. ", "2) x", "User:"),
    *("__", "\n\n\n", "#include", ">>>", "```", "Q :", "What ", "multiplication ", "counterintuitive "),
]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), max_size=6)
CODE = "def|class|import|from|for|while|if|assert|public|var|let|const|function|SELECT|return"
ROLES = "Q|A|Question|Answer|User|Assistant|System|Human|AI"
LINES = {
    "list_item": r"[ \t]*([-*•]|\d{1,3}[.)])[ \t]",
    "option": r"[ \t]*\(?[A-J][).:][ \t]",
    "code_start": rf"[ \t]*(({CODE}) |#include|>>>|```)",
    "role": rf"[ \t]*({ROLES})[ \t]*:",
}
"""A line is of the first of them that fits."""


def counted_by_loops(text: str) -> dict[str, float]:
    plain = text.replace("İ", "i").lower()
    words, lines = plain.split(), text.splitlines() or [""]
    groups = Counter(
        word_groups.NAMES[word_groups.GROUP_OF[word]]
        for word in re.findall("[a-z]+", plain.replace("'", "").replace("’", ""))
        if word in word_groups.GROUP_OF
    )
    fitting = ([shape for shape, begin in LINES.items() if re.match(begin, line)] for line in lines)
    begun = [shapes[0] for shapes in fitting if shapes]
    return {
        "characters": len(text),
        "words": len(words),
        "longest": max(map(len, words), default=0),
        "longest_line": max(map(len, lines)),
        "paragraphs": text.count("\n\n") + 1,
        **{name: groups[name] for name in word_groups.NAMES},
        **{shape: begun.count(shape) for shape in LINES},
        "code_end": len(re.findall(r"[;{}](?=\n|\Z)", text)),
        "latex": len(re.findall(r"\\[a-zA-Z]", text)),
        "url": text.count("http") + text.count("www."),
        "gap": len(re.findall(r"__+|\[(?:MASK|BLANK)\]", text)),
        "number": len(re.findall(r"\d+", text)),
        "name": len(re.findall(r"(?<=[a-zéı,][ \xa0])[A-Zİ](?=[a-zéı])", text)),
    }


def counted_at_once(texts: list[str]) -> list[dict[str, float]]:
    counts = count_texts(texts)
    columns: dict[str, NDArray[np.float64]] = {
        "characters": counts.characters,
        "words": counts.words,
        "longest": counts.longest,
        "longest_line": counts.longest_line,
        "paragraphs": counts.paragraphs,
        **{name: counts.group(name) for name in word_groups.NAMES},
        **{shape: counts.shape(shape) for shape in SHAPES},
    }
    return [{name: float(column[row]) for name, column in columns.items()} for row in range(len(texts))]


@settings(deadline=None)  # the first call makes tables
@given(TEXTS)
def test_counts_of_many_texts_are_those_of_loops(texts: list[str]) -> None:
    assert counted_at_once(texts) == [counted_by_loops(text) for text in texts]


def test_every_word_of_a_group_is_found_and_no_longer_or_shorter_one() -> None:
    for word, group in word_groups.GROUP_OF.items():
        counts = count_texts([word, f"{word}qq", f"qq{word}"])
        assert counts.groups[group].tolist() == [1, 0, 0], word
        assert counts.groups.sum() == 1, word


@pytest.mark.parametrize("lead", ["", " ", "\t ", "é", "(", "- "])
def test_every_word_that_begins_a_line_of_code_or_of_a_speaker_is_found(lead: str) -> None:
    texts = [
        f"{lead}{word}{end}" for word in f"{CODE}|{ROLES}".split("|") for end in (" x", ":", " :", "x ", "")
    ]
    assert counted_at_once(texts) == [counted_by_loops(text) for text in texts]


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["one two two\n\nthree", "", "What is __ ?\n", "é" * 50, "x " * 30]
    whole = count_texts(texts)
    monkeypatch.setattr(text_counts, "_CHUNK", 20)
    parts = count_texts(texts)
    for name in ("kinds", "groups", "shapes", "words", "longest", "longest_line", "paragraphs"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
