"""The hashed n-grams against n-grams that are cut out as strings."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, strategies as st
from scipy.sparse import csr_array

from fusionapp.adapters.lexical.encoder import LexicalEncoder
from fusionapp.adapters.lexical.ngrams import find_ngrams, normalise
from fusionapp.domain.embeddings import ExecutionPlan
from fusionapp.domain.errors import UsageError

TEXT = st.text(st.characters(categories=["L", "N", "P", "Z", "S"]) | st.sampled_from("ab '’!"), max_size=40)


def by_hand(text: str, words: tuple[int, int], characters: tuple[int, int]) -> Counter[tuple[str, str]]:
    """What is counted, spelled out: (kind, n-gram) with its number."""
    text = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    tokens = re.findall(r"\w+(?:['’]\w+)*|[^\w\s]+", text)
    found: Counter[tuple[str, str]] = Counter()
    for size in range(words[0], words[1] + 1):
        for start in range(len(tokens) - size + 1):
            found["word", "\0".join(tokens[start : start + size])] += 1
    edges = Counter[str]()
    for word in text.split():
        padded = f" {word} "
        for size in range(characters[0], characters[1] + 1):
            for start in range(len(padded) - size + 1):
                gram = padded[start : start + size]
                if gram.strip():
                    edges[gram] += 1
    return found + Counter({("character", gram): count for gram, count in edges.items()})


def hashed(text: str, words: tuple[int, int], characters: tuple[int, int]) -> Counter[int]:
    return Counter(find_ngrams([normalise(text)], words, characters).hashes.tolist())


@given(TEXT, st.sampled_from([(1, 1), (1, 2), (2, 3)]), st.sampled_from([(1, 2), (2, 5), (3, 4)]))
@example("a", (1, 2), (2, 5))
@example("I don't like it!! 😀", (1, 2), (2, 5))
def test_as_many_of_each_ngram_are_found_as_by_hand(
    text: str, words: tuple[int, int], characters: tuple[int, int]
) -> None:
    expected = by_hand(text, words, characters)

    found = hashed(text, words, characters)

    assert sorted(found.values()) == sorted(expected.values())


@given(st.lists(TEXT, max_size=5))
def test_a_text_has_the_same_ngrams_alone_and_among_others(texts: list[str]) -> None:
    together = find_ngrams([normalise(text) for text in texts], (1, 2), (2, 5))

    for row, text in enumerate(texts):
        among = Counter(together.hashes[together.rows == row].tolist())
        assert among == hashed(text, (1, 2), (2, 5))


def test_words_and_characters_of_the_same_letters_are_told_apart() -> None:
    word = set(find_ngrams([" ab "], (1, 1), (9, 9)).hashes.tolist())
    characters = set(find_ngrams([" ab "], (9, 9), (2, 2)).hashes.tolist())

    assert len(word) == 1
    assert len(characters) == 3
    assert not word & characters


def test_the_order_of_words_counts() -> None:
    forward, backward = (set(hashed(text, (2, 2), (9, 9))) for text in ("dog bites", "bites dog"))

    assert not forward & backward


def test_case_width_and_white_space_make_no_difference() -> None:
    plain, dressed = "full width cafe", "  ＦＵＬＬ\twidth \n CAFE "

    assert hashed(plain, (1, 2), (2, 5)) == hashed(dressed, (1, 2), (2, 5))


def test_the_scheme_is_the_one_whose_version_is_stored() -> None:
    columns = LexicalEncoder(dim=1000).encode(["Hello!"], ExecutionPlan()).embeddings

    assert isinstance(columns, csr_array)
    # A change here changes stored embeddings: raise ngrams.VERSION with it.
    assert columns.indices.tolist() == [
        59, 114, 123, 158, 228, 249, 386, 418, 438, 479, 493, 496, 526, 536, 586, 656, 715, 730, 733, 787, 804,
        861, 863, 867, 870,
    ]  # fmt: skip


def test_counts_are_raw_and_columns_sorted() -> None:
    counts = LexicalEncoder(word_ngrams=(1, 1), char_ngrams=(5, 5)).encode(["no no no"], ExecutionPlan())

    assert isinstance(counts.embeddings, csr_array)
    assert counts.embeddings.data.tolist() == [3.0]
    many = LexicalEncoder().encode(["the quick brown fox"], ExecutionPlan()).embeddings
    assert isinstance(many, csr_array)
    assert np.all(np.diff(many.indices) > 0)


def test_a_blank_text_is_an_empty_row() -> None:
    encoding = LexicalEncoder().encode(["", " \n ", "x"], ExecutionPlan())

    assert isinstance(encoding.embeddings, csr_array)
    assert np.diff(encoding.embeddings.indptr)[:2].tolist() == [0, 0]
    assert not encoding.failed.any()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"word_ngrams": (2, 1)}, "word_ngrams"),
        ({"char_ngrams": (0, 3)}, "char_ngrams"),
        ({"dim": 0}, "dim"),
        ({"dim": 2**31}, "dim"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        LexicalEncoder(**settings)  # type: ignore[arg-type]  # settings of several types
