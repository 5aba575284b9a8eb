from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from fusionapp.domain.errors import UsageError
from fusionapp.domain.splitting import duplicate_rows, stratified_folds, stratified_validation

labels_of = st.lists(st.integers(0, 5), min_size=2, max_size=80)


@given(labels_of, st.floats(0.05, 0.6), st.integers(0, 9))
def test_every_row_stands_once_and_every_class_in_train(
    labels: list[int], fraction: float, seed: int
) -> None:
    y = np.array(labels)
    assume(len(set(labels)) < len(labels))
    train, validation = stratified_validation(y, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(len(y)))
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(validation) > 0)
    assert set(y[train]) == set(labels)
    assert len(validation) >= 1


@given(labels_of, st.floats(0.05, 0.5))
def test_the_shares_are_the_fraction_but_for_rounding(labels: list[int], fraction: float) -> None:
    y = np.array([*labels * 3])
    _, validation = stratified_validation(y, fraction)
    assert abs(len(validation) - fraction * len(y)) <= 1
    for c in set(labels):
        assert abs(np.sum(y[validation] == c) - fraction * np.sum(y == c)) <= 1


def test_shares_agree_with_scikit_learn() -> None:
    y = np.repeat([0, 1, 2], [100, 60, 40])
    _, theirs = next(StratifiedShuffleSplit(1, test_size=0.1, random_state=0).split(y, y))
    _, ours = stratified_validation(y, 0.1)
    np.testing.assert_array_equal(np.bincount(y[ours]), np.bincount(y[theirs]))


def test_a_class_with_one_row_stays_in_train() -> None:
    train, validation = stratified_validation(np.array([0, 1, 1]), 0.5)
    assert train.tolist()[0] == 0
    assert len(validation) == 1


def test_the_seed_decides_the_rows() -> None:
    y = np.repeat([0, 1], 50)
    assert stratified_validation(y, 0.1, 3)[1].tolist() == stratified_validation(y, 0.1, 3)[1].tolist()
    assert stratified_validation(y, 0.1, 3)[1].tolist() != stratified_validation(y, 0.1, 4)[1].tolist()


def test_nothing_to_spare_is_refused() -> None:
    with pytest.raises(UsageError, match="none of 3 classes has two rows"):
        stratified_validation(np.array([0, 1, 2]))


def test_a_fraction_of_everything_is_refused() -> None:
    with pytest.raises(UsageError, match=r"1\.0"):
        stratified_validation(np.array([0, 0]), 1.0)


@given(labels_of, st.integers(2, 6), st.integers(0, 9))
def test_folds_are_alike_in_size_and_in_every_class(labels: list[int], folds: int, seed: int) -> None:
    y = np.array(labels)
    assume(folds <= len(y))
    fold = stratified_folds(y, folds, seed)
    assert fold.dtype == np.int64
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
    for c in set(labels):
        assert np.ptp(np.bincount(fold[y == c], minlength=folds)) <= 1


def test_folds_hold_as_many_of_a_class_as_those_of_scikit_learn() -> None:
    y = np.repeat([0, 1, 2], [100, 61, 43])
    theirs = [y[rows] for _, rows in StratifiedKFold(5, shuffle=True, random_state=0).split(y, y)]
    ours = [y[stratified_folds(y, 5) == fold] for fold in range(5)]
    for c in range(3):
        assert sorted(np.sum(each == c) for each in ours) == sorted(np.sum(each == c) for each in theirs)


def test_folds_do_not_follow_the_order_of_rows() -> None:
    y = np.repeat([0, 1], 50)
    assert stratified_folds(y, 5, 3).tolist() == stratified_folds(y, 5, 3).tolist()
    assert stratified_folds(y, 5, 3).tolist() != stratified_folds(y, 5, 4).tolist()
    assert not np.array_equal(np.sort(stratified_folds(y, 5, 3)[:50]), stratified_folds(y, 5, 3)[:50])


@pytest.mark.parametrize("folds", [1, 4])
def test_folds_that_would_be_empty_are_refused(folds: int) -> None:
    with pytest.raises(UsageError, match=f"{folds} folds of 3 rows"):
        stratified_folds(np.array([0, 1, 1]), folds)


texts = st.lists(st.sampled_from(["a", "b", "c", "a ", "\ud800", ""]), max_size=8)


@given(texts, texts, texts)
def test_shared_texts_agree_with_sets(train: list[str], validation: list[str], test: list[str]) -> None:
    splits = {"train": train, "validation": validation, "test": test}
    found = duplicate_rows(splits)
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert found.counts.get((first, second), 0) == len(set(splits[first]) & set(splits[second]))
    leaked = [row for row, text in enumerate(train) if text in {*validation, *test}]
    assert found.train_rows.tolist() == leaked


def test_texts_may_be_a_stream() -> None:
    found = duplicate_rows({"train": iter(["a", "b", "a"]), "test": iter(["a"])})
    assert found.counts == {("train", "test"): 1}
    assert found.train_rows.tolist() == [0, 2]


def test_the_texts_of_a_single_split_are_not_read() -> None:
    unread = iter(["a", "a"])
    found = duplicate_rows({"train": unread})
    assert (found.counts, found.train_rows.tolist()) == ({}, [])
    assert list(unread) == ["a", "a"]


def test_without_a_train_split_no_rows_are_listed() -> None:
    found = duplicate_rows({"validation": ["a"], "test": ["a"]})
    assert found.counts == {("validation", "test"): 1}
    assert found.train_rows.tolist() == []
