from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.retrieval.false_negatives import FalseNegatives
from fusionapp.domain.retrieval.shingles import Shingles, plain

QUERIES = ["black holes", "Black  HOLES", "dark matter", "the first gravitational wave of a merger", "jets"]
DOCUMENTS = [
    "mass and spin of a black hole in a binary",
    "MASS and spin of a  black hole in a binary",
    "the halo of a galaxy",
    "a merger of two neutron stars seen by three detectors at once",
    "a merger of two neutron stars seen by three detectors at last",
    "jets of a quasar",
]
PAIRS = np.array([[0, 0], [1, 5], [2, 2], [3, 3], [4, 5]])
LABELS = ["gr", "gr", "co", "gr", None, None]


def built(near: float | None = None, labels: list[str | None] | None = None) -> FalseNegatives:
    ids = [f"q{i}" for i in range(5)], [f"d{i}" for i in range(6)]
    return FalseNegatives.of(QUERIES, DOCUMENTS, *ids, PAIRS, labels, near)


def of(negatives: FalseNegatives) -> NDArray[np.bool_]:
    return negatives.mask(np.arange(5), np.arange(6))


def test_a_querys_own_document_is_no_negative() -> None:
    mask = of(built())
    assert not mask[tuple(PAIRS.T)].any()
    assert mask[2].tolist() == [True, True, False, True, True, True]


def test_a_document_of_the_same_text_but_for_case_and_space_is_no_negative() -> None:
    assert of(built())[0].tolist() == [False, False, True, True, True, False]


def test_a_document_of_another_query_with_the_same_text_is_no_negative() -> None:
    assert not of(built())[0, 5]
    assert not of(built())[1, 0]


def test_documents_and_queries_of_one_id_are_one() -> None:
    pairs = np.array([[0, 0], [1, 1], [2, 2]])
    negatives = FalseNegatives.of(
        ["a", "b", "c"], ["x", "y", "z"], ["q", "q", "r"], ["d", "e", "d"], pairs, None, None
    )
    mask = negatives.mask(np.arange(3), np.arange(3))
    assert mask.tolist() == [[False, False, False], [False, False, False], [False, True, False]]


def test_a_near_duplicate_of_the_document_is_no_negative() -> None:
    assert of(built())[3, 4]
    assert not of(built(near=0.8))[3, 4]
    assert of(built(near=0.9))[3, 4]


def test_a_document_of_a_near_duplicate_of_the_query_is_no_negative() -> None:
    queries = ["how do I set a new password here", "how do I set a new password here please", "jets"]
    negatives = FalseNegatives.of(
        queries,
        ["x", "y", "z"],
        ["a", "b", "c"],
        ["d", "e", "f"],
        np.array([[0, 0], [1, 1], [2, 2]]),
        None,
        0.8,
    )
    mask = negatives.mask(np.arange(3), np.arange(3))
    assert mask.tolist() == [[False, False, True], [False, False, True], [True, True, False]]


def test_documents_of_one_label_are_no_negatives_where_labels_count() -> None:
    assert of(built())[0, 3]
    assert not of(built(labels=LABELS))[0, 3]
    assert of(built(labels=LABELS))[0, 4]


def test_documents_without_a_label_stay_negatives() -> None:
    assert of(built(labels=LABELS))[4, 4]


def test_rows_may_stand_in_any_order_and_repeat() -> None:
    negatives = built(0.8, LABELS)
    queries, documents = np.array([3, 0, 3]), np.array([5, 4, 4, 0])
    np.testing.assert_array_equal(
        negatives.mask(queries, documents), of(negatives)[np.ix_(queries, documents)]
    )


def test_a_pool_masks_by_documents_that_stand_outside_it() -> None:
    """Query 3's document, whose near-duplicate is in the pool, is not."""
    assert not built(near=0.8).mask(np.array([3]), np.array([4]))[0, 0]


def test_each_querys_candidates_are_forbidden_as_the_mask_has_it() -> None:
    negatives = built(0.8, LABELS)
    candidates = np.array([[1, 2, -1], [0, 2, 5], [2, 4, 3], [4, 0, 2], [-1, -1, -1]])
    expected = [[d < 0 or not of(negatives)[q, d] for d in row] for q, row in enumerate(candidates)]
    assert negatives.forbidden(np.arange(5), candidates).tolist() == expected


@given(st.integers(0, 500))
def test_the_mask_agrees_with_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = ["a", "b", "C", "c"]
    queries, documents = (
        [" ".join(rng.choice(words, rng.integers(1, 5))) for _ in range(size)] for size in (6, 8)
    )
    ids = [f"q{i}" for i in range(6)], [f"d{i}" for i in range(8)]
    pairs = np.stack([rng.integers(0, 6, 7), rng.integers(0, 8, 7)], axis=1)
    labels = [None if n == 3 else str(n) for n in rng.integers(0, 4, 8)]
    mask = FalseNegatives.of(queries, documents, *ids, pairs, labels, 0.5).mask(np.arange(6), np.arange(8))
    for q in range(6):
        for d in range(8):
            wrong = False
            for asked, own in pairs:
                same_query = plain(queries[asked]) == plain(queries[q])
                near_query = overlap(queries[asked], queries[q]) >= 0.5
                same = plain(documents[own]) == plain(documents[d])
                near = overlap(documents[own], documents[d]) >= 0.5
                alike = labels[own] is not None and labels[own] == labels[d]
                wrong |= same_query and (same or near or alike)
                wrong |= near_query and same
            assert mask[q, d] == (not wrong)


def grams(text: str) -> set[tuple[str, ...]]:
    words = text.casefold().split()
    if len(words) < 3:
        return {tuple(words)} if words else set()
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def overlap(first: str, second: str) -> float:
    a, b = grams(first), grams(second)
    return len(a & b) / len(a | b) if a | b else 0.0


TEXTS = st.lists(st.sampled_from(["a", "b", "c", "D", "d"]), max_size=9).map(" ".join)


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_overlaps_agree_with_a_loop_over_sets(texts: list[str]) -> None:
    rows = np.arange(len(texts))
    expected = [[overlap(a, b) for b in texts] for a in texts]
    np.testing.assert_allclose(Shingles.of(texts).jaccard(rows, rows), expected)


def test_overlaps_agree_with_scikit_learn() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.metrics import jaccard_score

    cells = CountVectorizer(ngram_range=(3, 3), token_pattern=r"\S+", binary=True).fit_transform(DOCUMENTS)
    dense = cells.toarray()
    ours = Shingles.of(DOCUMENTS).jaccard(np.arange(6), np.arange(6))
    oracle = [[jaccard_score(a, b) for b in dense] for a in dense]
    np.testing.assert_allclose(ours, oracle)


@given(st.lists(TEXTS, min_size=2, max_size=5))
def test_an_overlap_is_a_share_and_the_same_both_ways(texts: list[str]) -> None:
    rows = np.arange(len(texts))
    jaccard = Shingles.of(texts).jaccard(rows, rows)
    np.testing.assert_array_equal(jaccard, jaccard.T)
    assert ((jaccard >= 0) & (jaccard <= 1)).all()
    assert all(jaccard[i, i] == 1 for i, text in enumerate(texts) if text.split())


def test_texts_without_words_overlap_with_nothing() -> None:
    assert Shingles.of(["", " ", "a b c"]).jaccard(np.arange(3), np.arange(3))[:2].sum() == 0


def test_a_data_set_without_near_duplicates_keeps_no_shingles() -> None:
    assert built().document_shingles is None


@pytest.mark.parametrize("labels", [None, [None] * 6])
def test_labels_that_are_all_missing_forbid_nothing(labels: list[str | None] | None) -> None:
    np.testing.assert_array_equal(of(built(labels=labels)), of(built()))
