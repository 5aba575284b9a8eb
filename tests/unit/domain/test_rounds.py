"""Folds test every row once and keep a text in one piece; draws take so many rows a class and no more."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.model_selection import StratifiedKFold

from fusionapp.domain.errors import UsageError
from fusionapp.domain.rounds import fold_rounds, shot_rounds
from fusionapp.domain.splitting import text_groups

LABELS = np.repeat([0, 1, 2], [40, 25, 15])
ALONE = np.arange(80)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=30, max_size=60), st.integers(0, 5)
)
def test_every_row_is_tested_once_and_no_text_is_on_two_sides(rows: list[tuple[int, int]], seed: int) -> None:
    y, texts = np.array(rows).T
    if len(set(texts)) < 8:
        return
    tested: list[int] = []
    for one in fold_rounds(y, texts, 3, 0.2, seed):
        parts = [one.train, one.validation, one.test]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(y)))
        sides = [set(texts[part]) for part in parts]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & sides[2]
        tested += one.test.tolist()
    assert sorted(tested) == list(range(len(y)))


def test_folds_have_the_classes_that_scikit_learns_have() -> None:
    theirs = [Counter(LABELS[test].tolist()) for _, test in StratifiedKFold(5).split(LABELS, LABELS)]
    ours = [Counter(LABELS[one.test].tolist()) for one in fold_rounds(LABELS, ALONE, 5, 0.1)]
    assert ours == theirs


def test_validation_is_a_stratified_part_of_a_folds_other_rows() -> None:
    for one in fold_rounds(LABELS, ALONE, 5, 0.25):
        assert Counter(LABELS[one.validation].tolist()) == {0: 8, 1: 5, 2: 3}


def test_folds_have_names_and_an_order() -> None:
    assert [one.name for one in fold_rounds(LABELS, ALONE, 3, 0.1)] == ["fold-0", "fold-1", "fold-2"]


def test_the_seed_decides_the_folds() -> None:
    first, same, other = (next(fold_rounds(LABELS, ALONE, 4, 0.1, seed)).test for seed in (1, 1, 2))
    assert first.tolist() == same.tolist() != other.tolist()


def test_a_draw_takes_so_many_rows_of_each_class_for_training_and_choosing_together() -> None:
    for one in shot_rounds(LABELS, ALONE, 8, 4, 0.1):
        assert Counter(LABELS[one.train].tolist()) == {0: 7, 1: 7, 2: 7}
        assert Counter(LABELS[one.validation].tolist()) == {0: 1, 1: 1, 2: 1}
        assert not set(one.train.tolist()) & set(one.validation.tolist())
        assert len(one.test) == 0


def test_a_larger_part_of_the_shots_may_be_for_choosing() -> None:
    one = next(shot_rounds(LABELS, ALONE, 8, 1, 0.25))
    assert Counter(LABELS[one.validation].tolist()) == {0: 2, 1: 2, 2: 2}


def test_a_class_with_fewer_rows_gives_all_of_them_and_a_single_row_is_trained_on() -> None:
    y = np.repeat([0, 1, 2], [20, 3, 1])
    one = next(shot_rounds(y, np.arange(24), 8, 1, 0.1))
    assert Counter(y[one.train].tolist()) == {0: 7, 1: 2, 2: 1}
    assert Counter(y[one.validation].tolist()) == {0: 1, 1: 1}


def test_a_text_is_drawn_once_however_often_it_stands_there() -> None:
    y, texts = np.repeat([0, 1], 30), np.tile(np.arange(10), 6)
    for one in shot_rounds(y, texts, 8, 5, 0.1):
        drawn = texts[np.concatenate([one.train, one.validation])]
        assert len(set(drawn.tolist())) == len(drawn)


def test_draws_differ_and_the_seed_decides_them() -> None:
    rows, again = (
        [one.train.tolist() for one in shot_rounds(LABELS, ALONE, 4, 3, 0.1, seed=5)] for _ in range(2)
    )
    assert rows[0] != rows[1] != rows[2] != rows[0]
    assert rows == again


def test_neighbouring_seeds_share_no_draw() -> None:
    rows = [
        tuple(one.train.tolist()) for seed in range(4) for one in shot_rounds(LABELS, ALONE, 4, 10, 0.1, seed)
    ]
    assert len(set(rows)) == 40


def test_every_row_of_a_class_is_drawn_as_often_as_another() -> None:
    drawn = Counter(
        row
        for one in shot_rounds(LABELS, ALONE, 5, 800, 0.2)
        for row in [*one.train.tolist(), *one.validation.tolist()]
        if LABELS[row] == 1
    )
    assert set(drawn) == set(range(40, 65))
    expected = 800 * 5 / 25
    assert all(abs(count - expected) < 5 * (expected * 0.8) ** 0.5 for count in drawn.values())


def test_one_shot_is_refused() -> None:
    with pytest.raises(UsageError, match="1 shots: one row a class"):
        next(shot_rounds(LABELS, ALONE, 1, 2, 0.1))


@given(st.lists(st.sampled_from(["a", "b", "a ", "", "\ud800"]), max_size=12))
def test_rows_of_a_text_have_its_number_and_no_other(texts: list[str]) -> None:
    found = text_groups(texts).tolist()
    assert len(found) == len(texts)
    for text, number in zip(texts, found, strict=True):
        assert [other == text for other in texts] == [other == number for other in found]
