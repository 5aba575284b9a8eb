"""What every lexical ranker promises, and what BM25 and TF-IDF compute, held to slow loops and to scikit-learn."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from fusionapp.adapters.bm25.ranker import Bm25
from fusionapp.adapters.tfidf.ranker import TfIdf
from fusionapp.application.ports.lexical_ranker import LexicalRanker
from fusionapp.domain.errors import UsageError

DOCUMENTS = [
    "Black holes and the binary black holes that merge",
    "Neutron stars cool",
    "",
    "The Übergang of stars: a star's black body",
    "black hole",
    "neutron stars cool",
]
QUERIES = ["black holes", "STARS stars neutron", "nothing here is known", "übergang"]

LISTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=6).map(" ".join), min_size=1, max_size=6)


@pytest.fixture(params=[Bm25(), TfIdf()], ids=["bm25", "tfidf"])
def ranker(request: pytest.FixtureRequest) -> LexicalRanker:
    chosen: LexicalRanker = request.param
    return chosen


def all_scores(ranker: LexicalRanker, documents: list[str], queries: list[str]) -> NDArray[np.float32]:
    """(queries, documents), in the documents' order."""
    hits = ranker.rank(documents, queries, len(documents))
    scores = np.empty_like(hits.scores)
    np.put_along_axis(scores, hits.rows, hits.scores, axis=1)
    return scores


def slow_bm25(documents: list[str], query: str, k1: float = 1.5, b: float = 0.75) -> list[float]:
    words = [re.findall(r"\w+", text.lower()) for text in documents]
    mean = sum(map(len, words)) / len(words)
    scores = []
    for document in words:
        score = 0.0
        for word in re.findall(r"\w+", query.lower()):
            df = sum(word in other for other in words)
            tf = document.count(word)
            if tf:
                idf = math.log(1 + (len(words) - df + 0.5) / (df + 0.5))
                score += idf * tf / (tf + k1 * (1 - b + b * len(document) / mean))
        scores.append(score)
    return scores


def slow_tfidf(documents: list[str], query: str) -> list[float]:
    def terms(text: str) -> Counter[str]:
        words = re.findall(r"\w+", text.lower())
        return Counter(words + [" ".join(pair) for pair in pairwise(words)])

    counted = [terms(text) for text in documents]

    def weights(counts: Counter[str]) -> dict[str, float]:
        found = {}
        for term, tf in counts.items():
            df = sum(term in other for other in counted)
            if df:
                found[term] = (1 + math.log(tf)) * (1 + math.log((1 + len(documents)) / (1 + df)))
        norm = math.sqrt(sum(value**2 for value in found.values())) or 1.0
        return {term: value / norm for term, value in found.items()}

    wanted = weights(terms(query))
    return [sum(wanted.get(term, 0.0) * value for term, value in weights(one).items()) for one in counted]


def test_documents_that_share_words_come_first(ranker: LexicalRanker) -> None:
    hits = ranker.rank(DOCUMENTS, QUERIES, 2)
    assert set(hits.rows[0].tolist()) <= {0, 3, 4}
    assert hits.rows[1].tolist() == [1, 5]
    assert hits.rows[3, 0] == 3


def test_equal_scores_rank_by_row(ranker: LexicalRanker) -> None:
    hits = ranker.rank(["same words"] * 50 + ["other"], ["same"], 7)
    assert hits.rows.tolist() == [list(range(7))]


def test_a_query_without_a_known_word_scores_nothing(ranker: LexicalRanker) -> None:
    assert ranker.rank(DOCUMENTS, ["unheard", ""], 3).scores.tolist() == [[0.0] * 3] * 2


def test_more_hits_than_documents_end_in_nothing(ranker: LexicalRanker) -> None:
    hits = ranker.rank(DOCUMENTS, QUERIES, 8)
    assert (hits.rows[:, 6:] == -1).all()
    assert np.isneginf(hits.scores[:, 6:]).all()
    assert [sorted(row) for row in hits.rows[:, :6].tolist()] == [list(range(6))] * 4


def test_documents_without_a_word_can_be_ranked(ranker: LexicalRanker) -> None:
    assert ranker.rank(["", "  "], ["word"], 2).rows.tolist() == [[0, 1]]


def test_no_query_has_no_hits(ranker: LexicalRanker) -> None:
    assert ranker.rank(DOCUMENTS, [], 3).rows.shape == (0, 3)


def test_no_documents_are_refused(ranker: LexicalRanker) -> None:
    with pytest.raises(UsageError, match="no documents"):
        ranker.rank([], QUERIES, 3)


def test_no_hits_at_all_are_refused(ranker: LexicalRanker) -> None:
    with pytest.raises(UsageError, match="k 0"):
        ranker.rank(DOCUMENTS, QUERIES, 0)


def test_a_fitted_ranking_is_the_same_for_any_number_of_queries(ranker: LexicalRanker) -> None:
    fitted = ranker.fit(DOCUMENTS)
    together = fitted.rank(QUERIES, 4)
    alone = [fitted.rank([query], 4).rows[0].tolist() for query in QUERIES]
    assert together.rows.tolist() == alone


@given(LISTS, LISTS)
@settings(max_examples=40, deadline=None)
def test_bm25_is_its_formula(documents: list[str], queries: list[str]) -> None:
    expected = [
        slow_bm25(documents, query) if any(documents) else [0.0] * len(documents) for query in queries
    ]
    np.testing.assert_allclose(all_scores(Bm25(), documents, queries), expected, rtol=1e-4, atol=1e-5)


@given(LISTS, LISTS)
@settings(max_examples=40, deadline=None)
def test_tfidf_is_its_formula(documents: list[str], queries: list[str]) -> None:
    expected = [slow_tfidf(documents, query) for query in queries]
    np.testing.assert_allclose(all_scores(TfIdf(), documents, queries), expected, rtol=1e-4, atol=1e-5)


def test_tfidf_is_that_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+")
    documents = vectorizer.fit_transform(DOCUMENTS)
    expected = (vectorizer.transform(QUERIES) @ documents.T).toarray()
    np.testing.assert_allclose(all_scores(TfIdf(), DOCUMENTS, QUERIES), expected, rtol=1e-5, atol=1e-6)


def test_stop_words_do_not_count() -> None:
    scores = all_scores(Bm25(stop_words=frozenset({"the"})), DOCUMENTS, ["the"])
    assert not scores.any()
