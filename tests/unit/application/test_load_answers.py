"""Answers of a run, loaded as routers are trained on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from answers_bench import OTHERS, TRAIN, Bench, battle, in_memory, on_disk, outcomes, scored
from fakes.stores import MemoryRunStore, MemorySpool

from fusionapp.application.services.load_answers import LoadAnswers
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, SECOND, TIE
from fusionapp.domain.routing.comparisons import comparisons
from fusionapp.domain.routing.rows import AnswerRow

nan = math.nan


@pytest.fixture(params=[in_memory, on_disk], ids=lambda make: make.__name__)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    make: Callable[[Path], Bench] = request.param
    return make(tmp_path)


def test_scores_alone_become_battles(bench: Bench) -> None:
    bench.read({"train": TRAIN, **OTHERS})
    assert outcomes(bench.load("train").answered.battles) == [
        (0, "a", "b", FIRST),
        (0, "a", "c", FIRST),
        (0, "b", "c", TIE),
    ]


def test_how_scores_become_battles_can_be_chosen(bench: Bench) -> None:
    bench.read({"train": TRAIN, **OTHERS})
    answers = LoadAnswers(bench.spool, bench.runs, tie_below=0.9, bad_below=0.5)
    assert outcomes(answers(bench.embedded("train")).answered.battles) == [
        (0, "a", "b", TIE),
        (0, "a", "c", TIE),
        (0, "b", "c", BOTH_BAD),
    ]


def test_battles_alone_become_scores(bench: Bench) -> None:
    fought: list[AnswerRow] = [battle("p"), battle("p", "b", "a", TIE), battle("q", outcome=SECOND)]
    bench.read({"train": fought, "test": [battle("t")], "validation": [battle("v")]})
    loaded = bench.load("train")
    np.testing.assert_array_equal(loaded.answered.scores.quality, [[0.75, 0.25], [0.0, 1.0]])
    assert loaded.shares


def test_scores_beside_battles_become_battles_too_and_shares_of_wins_become_no_scores(bench: Bench) -> None:
    rows: list[AnswerRow] = [battle("q"), scored("p", a=0.0, b=1.0), battle("p")]
    bench.read({"train": rows, **OTHERS})
    loaded = bench.load("train")
    answered = loaded.answered
    assert not loaded.shares
    np.testing.assert_array_equal(answered.scores.quality, [[nan, nan], [0.0, 1.0]])
    assert outcomes(answered.battles) == [
        (0, "a", "b", FIRST),
        (1, "a", "b", SECOND),
        (1, "a", "b", FIRST),
    ]


def test_battles_are_as_many_as_comparisons_whatever_they_come_from(bench: Bench) -> None:
    rows: list[AnswerRow] = [*TRAIN, battle("p"), battle("r"), scored("r", b=0.5, c=1.0)]
    bench.read({"train": rows, **OTHERS})
    counted = {one.model: one.comparisons for one in bench.answers.compared()}
    loaded = bench.load("train").answered.battles
    assert dict(zip(loaded.models, comparisons(loaded).tolist(), strict=True)) == counted


def test_rows_are_those_that_have_embeddings(bench: Bench) -> None:
    rows: list[AnswerRow] = [
        *(scored(name, a=n / 10, b=0.0) for n, name in enumerate("pqrs")),
        battle("s"),
        battle("q"),
    ]
    bench.read({"train": rows, **OTHERS})
    loaded = bench.load("train", without=[1])
    assert loaded.answered.prompts.texts == ["p", "r", "s"]
    assert np.ravel(np.asarray(loaded.answered.prompts.embeddings["encoder"])).tolist() == [0, 2, 3]
    assert loaded.rows.tolist() == [0, 2, 3]
    np.testing.assert_array_equal(loaded.answered.scores.quality[:, 0], [0.0, 0.2, 0.3])
    # "p" and "s" by their scores, "s" by its battle as well.
    made = [(0, "a", "b", TIE), (1, "a", "b", FIRST), (2, "a", "b", FIRST)]
    assert outcomes(loaded.answered.battles) == [*made, (2, "a", "b", FIRST)]


def test_prompts_that_no_chosen_model_answered_are_left_out(bench: Bench) -> None:
    bench.read({"train": [*TRAIN, battle("r"), scored("s", a=0.5, c=1.0)], **OTHERS})
    loaded = bench.load("train", models=["c", "a"])
    assert loaded.answered.prompts.texts == ["p", "s"]
    assert loaded.left_out == 2
    assert loaded.answered.scores.models == ("c", "a")
    np.testing.assert_array_equal(loaded.answered.scores.quality, [[0.25, 1.0], [1.0, 0.5]])
    assert np.ravel(np.asarray(loaded.answered.prompts.embeddings["encoder"])).tolist() == [0, 3]


def test_an_unknown_model_is_an_error(bench: Bench) -> None:
    bench.read({"train": TRAIN, **OTHERS})
    with pytest.raises(UsageError, match="unknown model 'd'; known are a, b, c"):
        bench.load("train", models=["a", "d"])


def test_loading_before_reading_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="holds no answers; run `fusionapp extract` first"):
        LoadAnswers(MemorySpool(), MemoryRunStore()).compared()


@pytest.mark.parametrize("rows", [TRAIN, [battle("p"), battle("q")]])
def test_tables_that_do_not_fit_the_prompts_are_corrupt(rows: list[AnswerRow]) -> None:
    bench = Bench(MemorySpool(), MemoryRunStore())
    bench.read({"train": rows, **OTHERS})
    bench.spool.write("train", list(bench.spool.read("test").examples))  # type: ignore[attr-defined]  # the fake's
    with pytest.raises(CorruptArtifactError, match="does not fit the prompts and models beside it"):
        bench.answers.compared()
