from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval import compact_vectors
from fusionapp.domain.retrieval.compact_vectors import ByteScale, hamming, search_signs, signs

RNG = np.random.default_rng(0)
DOCUMENTS = RNG.normal(size=(50, 20)).astype(np.float32)
QUERIES = RNG.normal(size=(6, 20)).astype(np.float32)


def test_bytes_agree_with_a_loop() -> None:
    scale = ByteScale.of(DOCUMENTS)
    low, high = DOCUMENTS.min(0), DOCUMENTS.max(0)
    codes = scale.encode(QUERIES)
    for i, j in np.ndindex(QUERIES.shape):
        step = np.float32((high[j] - low[j]) / 255)
        exact = round(float(np.float32(QUERIES[i, j] - low[j]) / step)) - 128
        assert codes[i, j] == min(127, max(-128, exact))


def test_bytes_agree_with_sentence_transformers_but_for_rounding() -> None:
    """It cuts where this rounds, so that its codes are the same or the next lower."""
    from sentence_transformers.util.quantization import quantize_embeddings

    ranges = np.stack([DOCUMENTS.min(0), DOCUMENTS.max(0)])
    oracle = np.asarray(quantize_embeddings(DOCUMENTS, "int8", ranges=ranges), np.int64)
    gap = ByteScale.of(DOCUMENTS).encode(DOCUMENTS) - oracle
    assert set(np.unique(gap)) <= {0, 1}


@given(st.integers(0, 1000))
def test_a_decoded_document_is_at_most_half_a_step_off(seed: int) -> None:
    documents = np.random.default_rng(seed).normal(size=(30, 5)).astype(np.float32)
    scale = ByteScale.of(documents)
    error = np.abs(scale.decode(scale.encode(documents)) - documents)
    assert (error <= scale.step * 0.5001 + 1e-6).all()


def test_a_dimension_that_never_changes_comes_back_whole() -> None:
    documents = np.full((3, 2), 0.25, np.float32)
    scale = ByteScale.of(documents)
    np.testing.assert_array_equal(scale.decode(scale.encode(documents)), documents)


def test_values_outside_the_documents_are_cut_to_them() -> None:
    scale = ByteScale.of(np.array([[0.0], [1.0]]))
    assert scale.encode(np.array([[-5.0], [5.0]])).tolist() == [[-128], [127]]


def test_no_documents_have_no_limits() -> None:
    with pytest.raises(UsageError, match="no documents"):
        ByteScale.of(np.empty((0, 4)))


def test_signs_agree_with_sentence_transformers() -> None:
    from sentence_transformers.util.quantization import quantize_embeddings

    np.testing.assert_array_equal(signs(DOCUMENTS), quantize_embeddings(DOCUMENTS, "ubinary"))


def test_distances_agree_with_scipy() -> None:
    from scipy.spatial.distance import cdist

    oracle = cdist(QUERIES > 0, DOCUMENTS > 0, "hamming") * 20
    np.testing.assert_array_equal(hamming(signs(QUERIES), signs(DOCUMENTS)), oracle.round())


@given(st.integers(0, 1000), st.integers(1, 140))
def test_distances_agree_with_a_loop_in_every_dim(seed: int, dim: int) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, 3, dim))
    expected = [[sum((a > 0) != (b > 0) for a, b in zip(x, y, strict=True)) for y in second] for x in first]
    assert hamming(signs(first), signs(second)).tolist() == expected


@pytest.mark.parametrize("cells", [1, 10**6])
def test_the_search_agrees_with_a_loop(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_vectors, "_CELLS_AT_ONCE", cells)
    rows, scores = search_signs(QUERIES, signs(DOCUMENTS), 3, oversample=2)
    flat = np.where(DOCUMENTS > 0, 1.0, -1.0)
    for query, found, found_scores in zip(QUERIES, rows, scores, strict=True):
        near = [sum((query > 0) != (document > 0)) for document in DOCUMENTS]
        close = sorted(range(50), key=lambda row: (near[row], row))[:6]
        best = sorted(close, key=lambda row: (-query @ flat[row], row))[:3]
        assert found.tolist() == best
        np.testing.assert_allclose(found_scores, flat[best] @ query, rtol=1e-5)


def test_looking_at_every_document_ranks_by_the_querys_own_numbers() -> None:
    rows, scores = search_signs(QUERIES, signs(DOCUMENTS), 50, oversample=1)
    exact = QUERIES @ np.where(DOCUMENTS > 0, 1, -1).T
    np.testing.assert_allclose(scores, -np.sort(-exact, axis=1), rtol=1e-4, atol=1e-5)
    assert all(sorted(of.tolist()) == list(range(50)) for of in rows)


def test_codes_of_another_dim_are_refused() -> None:
    with pytest.raises(UsageError, match="queries of 20 numbers, but codes of 2 bytes, not 3"):
        search_signs(QUERIES, signs(DOCUMENTS[:, :16]), 3)


@pytest.mark.parametrize("k", [0, 51])
def test_more_documents_than_there_are_is_refused(k: int) -> None:
    with pytest.raises(UsageError, match=f"k = {k} of 50 documents"):
        search_signs(QUERIES, signs(DOCUMENTS), k)
