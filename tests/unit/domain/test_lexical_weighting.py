from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfTransformer

from fusionapp.domain.errors import UsageError
from fusionapp.domain.lexical_weighting import LexicalWeighting, l2_normalize_rows
from fusionapp.domain.recipe import SourceRecipe

TRAIN = csr_array(np.array([[2, 1, 0, 0, 3], [1, 0, 0, 1, 0], [4, 1, 0, 0, 0]], dtype=np.float32))
OTHER = csr_array(np.array([[0, 5, 7, 1, 0], [0, 0, 0, 0, 2]], dtype=np.float32))

counts = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=st.integers(0, 4))


def test_columns_below_the_document_frequency_are_dropped() -> None:
    assert LexicalWeighting.fit(TRAIN).columns.tolist() == [0, 1]


def test_all_seen_columns_are_kept_where_none_recurs() -> None:
    assert LexicalWeighting.fit(csr_array(np.array([[0.0, 2.0, 1.0]]))).columns.tolist() == [1, 2]


@pytest.mark.parametrize(("most", "kept"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 3]), (9, [0, 1, 3, 4])])
def test_the_columns_in_the_most_rows_are_kept_and_of_equals_the_lower(most: int, kept: list[int]) -> None:
    recipe = SourceRecipe(min_document_frequency=1, max_columns=most)
    assert LexicalWeighting.fit(TRAIN, recipe).columns.tolist() == kept


def test_without_idf_every_column_weighs_one() -> None:
    assert LexicalWeighting.fit(TRAIN, SourceRecipe(idf=False)).idf.tolist() == [1.0, 1.0]


def test_weights_agree_with_an_explicit_loop() -> None:
    weighting = LexicalWeighting.fit(TRAIN)
    expected = np.zeros((2, 2))
    for row, dense in enumerate(OTHER.toarray()):
        for place, column in enumerate([0, 1]):
            tf = dense[column]
            df = sum(text[column] > 0 for text in TRAIN.toarray())
            expected[row, place] = (1 + np.log(tf)) * (np.log((1 + 3) / (1 + df)) + 1) if tf else 0.0
        expected[row] /= np.linalg.norm(expected[row]) or 1.0
    np.testing.assert_allclose(weighting.transform(OTHER).toarray(), expected, rtol=1e-6)


@given(counts, st.booleans(), st.booleans())
def test_weights_agree_with_scikit_learn(
    dense: np.ndarray[tuple[int, int], np.dtype[np.float32]], sublinear_tf: bool, idf: bool
) -> None:
    sparse = csr_array(dense)
    recipe = SourceRecipe(min_document_frequency=1, sublinear_tf=sublinear_tf, idf=idf)
    weighting = LexicalWeighting.fit(sparse, recipe)
    oracle = TfidfTransformer(sublinear_tf=sublinear_tf, use_idf=idf).fit_transform(dense).toarray()
    np.testing.assert_allclose(weighting.transform(sparse).toarray(), oracle[:, weighting.columns], rtol=1e-5)


@given(counts)
def test_transformed_rows_have_length_one_or_zero(
    dense: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    rows = LexicalWeighting.fit(csr_array(dense)).transform(csr_array(dense))
    lengths = np.linalg.norm(rows.toarray(), axis=1)
    assert np.all(np.isclose(lengths, 1, rtol=1e-5) | (lengths == 0))
    assert rows.dtype == np.float32


def test_duplicate_cells_are_summed_before_weighting() -> None:
    split = csr_array((np.ones(3, np.float32), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    whole = csr_array(np.array([[1.0, 2.0]], dtype=np.float32))
    weighting = LexicalWeighting.fit(whole)
    np.testing.assert_array_equal(weighting.transform(split).toarray(), weighting.transform(whole).toarray())
    assert split.nnz == 3


@pytest.mark.parametrize(("cell", "told"), [(-1.0, r"-1\.0"), (np.inf, "inf"), (np.nan, "nan")])
def test_cells_that_are_no_counts_are_refused_and_named(cell: float, told: str) -> None:
    with pytest.raises(UsageError, match=f"cell is {told}"):
        LexicalWeighting.fit(csr_array(np.array([[1.0, cell]])))


def test_too_narrow_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="1 columns, but column 1 was fitted"):
        LexicalWeighting.fit(TRAIN).transform(csr_array(np.ones((1, 1), np.float32)))


def test_normalizing_rows_keeps_an_empty_row_empty() -> None:
    rows = l2_normalize_rows(csr_array(np.array([[3.0, 4.0], [0.0, 0.0]])))
    np.testing.assert_allclose(rows.toarray(), np.array([[0.6, 0.8], [0, 0]]))
