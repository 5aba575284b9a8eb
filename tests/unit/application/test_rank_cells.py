"""A board ranks by validation; test rows decide verdicts, and Holm counts every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fakes.stores import MemoryRunStore

from fusionapp.application.ports.run_store import Column
from fusionapp.application.services.rank_cells import (
    BoardRow,
    Entrant,
    RankCells,
    RightRows,
    read_right_rows,
)
from fusionapp.domain.errors import UsageError

ROWS = 200


def entrant(name: str, validation: float, encoders: str = "ab", fusion: str = "sum", **other: Any) -> Entrant:
    """A cell whose encoders are the letters of a word."""
    plain: dict[str, Any] = {"dataset": "r8", "train": "", "role": "cell"}
    return Entrant(
        name=name, encoders=tuple(encoders), fusion=fusion, validation=validation, **{**plain, **other}
    )


def single(name: str, validation: float, encoder: str, **other: Any) -> Entrant:
    return entrant(name, validation, encoder, "concat", **{"role": "single source", **other})


def svm(validation: float = 0.5, encoders: str = "ab", **other: Any) -> Entrant:
    return entrant(f"{encoders}-svm", validation, encoders, "linear_svm", role="linear_svm", **other)


def right(share: float, rows: int = ROWS) -> RightRows:
    """Scores that are right on the first rows alone."""
    return RightRows(np.arange(rows), (np.arange(rows) < share * rows).astype(np.float64))


def rank(
    judged: Sequence[tuple[Entrant, RightRows]], *failed: Entrant, draws: int = 400
) -> dict[str, BoardRow]:
    entrants = [*(one for one, _ in judged), *failed]
    rows = RankCells()(entrants, {one.name: found for one, found in judged}, draws)
    return {row.entrant.name: row for row in rows}


def test_rows_are_ranked_by_validation_whatever_test_says() -> None:
    board = rank([(entrant("low", 0.6), right(0.9)), (entrant("high", 0.7), right(0.1))])
    assert {name: row.rank for name, row in board.items()} == {"high": 1, "low": 2}
    assert list(board) == ["high", "low"]


def test_equals_share_a_rank() -> None:
    board = rank(
        [(entrant(name, reached), right(0.5)) for name, reached in {"x": 0.6, "y": 0.6, "z": 0.5}.items()]
    )
    assert [row.rank for row in board.values()] == [1, 1, 3]


def test_each_dataset_has_ranks_and_controls_of_its_own() -> None:
    board = rank(
        [
            (entrant("r8", 0.6), right(0.5)),
            (entrant("mr", 0.7, dataset="mr"), right(0.5)),
            (svm(dataset="mr"), right(0.5)),
        ]
    )
    assert (board["r8"].rank, board["mr"].rank, list(board)) == (1, 1, ["r8", "mr", "ab-svm"])
    assert board["r8"].linear_svm is None
    assert board["mr"].linear_svm is not None


def test_the_best_single_source_is_chosen_on_validation_among_those_of_the_set() -> None:
    board = rank(
        [
            (single("a", 0.6, "a"), right(0.2)),
            (single("b", 0.5, "b"), right(0.9)),
            (single("c", 0.9, "c"), right(0.9)),
            (entrant("ab", 0.7), right(0.5)),
        ]
    )
    found = board["ab"].best_single
    assert found is not None
    assert (found.control, found.verdict) == ("a", "better")
    assert found.difference.estimate == pytest.approx(0.3)


def test_a_single_source_that_was_asked_for_is_a_control_of_others_and_has_none_but_the_svm() -> None:
    board = rank(
        [
            (single("a", 0.6, "a", role="cell"), right(0.5)),
            (single("a-slow", 0.5, "a", role="cell"), right(0.5)),
            (svm(encoders="a"), right(0.9)),
            (entrant("ab", 0.7), right(0.2)),
        ]
    )
    assert board["a"].best_single is None
    against = board["a"].linear_svm
    assert against is not None
    assert against.verdict == "worse"
    assert board["ab"].best_single is not None
    assert board["ab"].linear_svm is None


def test_controls_are_held_against_nothing() -> None:
    board = rank([(single("a", 0.6, "a"), right(0.5)), (svm(encoders="a"), right(0.5))])
    assert all(row.best_single is None and row.linear_svm is None for row in board.values())


def test_five_rows_all_one_way_separate_nothing() -> None:
    cell, control = entrant("x", 0.6), svm()
    found = rank([(cell, right(1.0, rows=5)), (control, right(0.0, rows=5))])["x"].linear_svm
    assert found is not None
    assert (found.difference.p_value, found.verdict) == (2 / 2**5, "not separable")


def test_holm_counts_every_comparison_of_the_board() -> None:
    cell, control = entrant("x", 0.6), svm()
    narrow = right(0.5), RightRows(np.arange(ROWS), right(0.5).right - (np.arange(ROWS) < 7))
    pair = [(cell, narrow[0]), (control, narrow[1])]
    (alone,) = [row.linear_svm for row in rank(pair).values() if row.linear_svm]
    assert alone.verdict == "better"
    crowd = [(entrant(f"c{number}", 0.5), narrow[1]) for number in range(60)]
    board = rank([*pair, *crowd])
    among = board["x"].linear_svm
    assert among is not None
    assert among.difference == alone.difference
    assert among.adjusted_p == pytest.approx(61 * alone.adjusted_p)
    assert among.verdict == "not separable"


def test_a_clear_winner_is_seen_on_a_board_of_hundreds() -> None:
    crowd = [(entrant(f"c{number}", 0.5), right(0.3)) for number in range(300)]
    board = rank([(entrant("x", 0.6), right(0.9)), (svm(), right(0.3)), *crowd], draws=200)
    found = board["x"].linear_svm
    assert found is not None
    assert found.verdict == "better"


def test_rows_that_one_of_a_pair_lacks_are_left_out_of_it() -> None:
    cell = RightRows(np.array([2, 5, 9]), np.array([1.0, 0.0, 1.0]))
    control = RightRows(np.array([0, 2, 9]), np.array([1.0, 0.0, 1.0]))
    board = rank([(entrant("x", 0.6), cell), (svm(), control)])
    found = board["x"].linear_svm
    assert found is not None
    assert found.difference.estimate == pytest.approx(0.5)


def test_what_failed_comes_last_without_a_rank() -> None:
    failed = Entrant("broken", "r8", ("a", "b"), "attention", "", "cell", error="5 does not divide 32")
    board = rank([(entrant("x", 0.1), right(0.5))], failed)
    assert list(board) == ["x", "broken"]
    assert board["broken"].rank is None


def test_the_share_of_seeds_that_were_right_is_read_from_the_scores() -> None:
    runs = MemoryRunStore()
    columns: dict[str, Column] = {"row": np.array([3, 7]), "label": ["joy", "joy"]}
    columns |= {"seed-0": ["joy", "fear"], "seed-0_probability": np.ones(2), "seed-1": ["joy", "joy"]}
    runs.write_table("scores/test/result.parquet", columns)
    found = read_right_rows(runs, "test")
    assert found.rows.tolist() == [3, 7]
    assert found.right.tolist() == [1.0, 0.5]
    with pytest.raises(UsageError):
        read_right_rows(runs, "validation")
