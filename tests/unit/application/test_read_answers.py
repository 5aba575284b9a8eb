"""Answers read into a run, cut into splits, counted and priced."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from answers_bench import OTHERS, TRAIN, Bench, battle, in_memory, on_disk, outcomes, scored
from fakes.answers import MemoryAnswerSource
from fakes.stores import MemoryRunStore, MemorySpool
from hypothesis import given, strategies as st

from fusionapp.application.services.read_answers import ReadAnswers
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, TIE
from fusionapp.domain.routing.prices import Price, Prices
from fusionapp.domain.routing.rows import AnswerRow
from fusionapp.domain.routing.splitting import PromptSplitter, prompt_key

nan = math.nan


@pytest.fixture(params=[in_memory, on_disk], ids=lambda make: make.__name__)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    make: Callable[[Path], Bench] = request.param
    return make(tmp_path)


def test_a_prompts_rows_are_one_and_repeated_scores_are_averaged(bench: Bench) -> None:
    read = bench.read({"train": TRAIN, **OTHERS})
    loaded = bench.load("train")
    assert read.models == loaded.answered.scores.models == ("a", "b", "c")
    np.testing.assert_array_equal(loaded.answered.scores.quality, [[1.0, 0.25, 0.25], [nan, 1.0, nan]])
    np.testing.assert_array_equal(loaded.answered.scores.cost, [[0.5, 4.0, nan], [nan, nan, nan]])
    np.testing.assert_array_equal(loaded.answered.scores.latency, [[nan, 2.0, nan], [nan, nan, nan]])
    assert attrs.asdict(read.splits["train"]) == {
        "prompts": 2,
        "scores": 4,
        "battles": 0,
        "repeated": 1,
        "dropped": 0,
    }


def test_prompts_are_spooled_once_with_task_and_id(bench: Bench) -> None:
    bench.read({"train": [*TRAIN, battle("r")], **OTHERS})
    spooled = bench.spool.read("train")
    assert bench.prompts("train") == ["p", "q", "r"]
    assert spooled.labels() == [None, None, "t"]
    assert [id["id"] for id in spooled.ids()] == ["id of p", "id of q", "id of r"]


def test_battles_are_kept_even_where_one_is_given_twice(bench: Bench) -> None:
    fought: list[AnswerRow] = [
        battle("p"),
        battle("q", "c", "a", BOTH_BAD),
        battle("p"),
        battle("p", "b", "c", TIE),
    ]
    read = bench.read({"train": fought, "test": [battle("t")], "validation": [battle("v")]})
    assert (read.splits["train"].battles, read.splits["train"].prompts) == (4, 2)
    assert outcomes(bench.load("train").answered.battles) == [
        (0, "a", "b", FIRST),
        (1, "c", "a", BOTH_BAD),
        (0, "a", "b", FIRST),
        (0, "b", "c", TIE),
    ]


def test_comparisons_are_counted_over_scores_and_battles(bench: Bench) -> None:
    read = bench.read({"train": [*TRAIN, battle("q"), battle("q")], **OTHERS})
    assert read.comparisons == {
        "train": {"a": 4, "b": 4, "c": 2},
        "validation": {"a": 1, "b": 1, "c": 0},
        "test": {"a": 1, "b": 1, "c": 0},
    }
    assert [attrs.astuple(one) for one in bench.answers.compared(3)] == [
        ("a", 4, True),
        ("b", 4, True),
        ("c", 2, False),
    ]


def test_a_model_that_too_few_kept_ones_meet_goes_too(bench: Bench) -> None:
    fought: list[AnswerRow] = [
        battle("p"),
        battle("p"),
        battle("p"),
        battle("q", "c", "d"),
        battle("q", "c", "b"),
    ]
    bench.read({"train": fought, "test": [battle("t")], "validation": [battle("v")]})
    assert [one.kept for one in bench.answers.compared(2)] == [True, True, False, False]
    with pytest.raises(
        UsageError, match=r"min_model_comparisons 4 leaves fewer than two models; .* 4 comparisons"
    ):
        bench.answers.compared(4)


def many(count: int) -> list[AnswerRow]:
    return [scored(f"prompt {n}", a=n % 2 / 1.0, b=0.5) for n in range(count)]


def test_train_alone_is_cut_by_the_hash(bench: Bench) -> None:
    read = bench.read({"train": many(60)}, seed=3)
    splitter = PromptSplitter(seed=3)
    assert read.drawn == ("validation", "test")
    assert list(read.splits) == ["train", "validation", "test"]
    for split in read.splits:
        expected = [row.prompt for row in many(60) if splitter.split(row.prompt) == split]
        assert bench.prompts(split) == expected
        np.testing.assert_array_equal(
            bench.load(split).answered.scores.quality[:, 0],
            [int(prompt.split()[1]) % 2 for prompt in expected],
        )


def test_a_missing_validation_alone_is_drawn(bench: Bench) -> None:
    read = bench.read({"train": many(60), "test": [scored("t", a=1.0, b=0.0)]})
    assert read.drawn == ("validation",)
    splitter = PromptSplitter(0.0, 0.1, 0)
    assert bench.prompts("validation") == [
        row.prompt for row in many(60) if splitter.split(row.prompt) == "validation"
    ]


def test_a_split_that_the_hash_leaves_empty_is_an_error(bench: Bench) -> None:
    with pytest.raises(UsageError, match="the hash draws none of the 2 prompts; name the splits' own files"):
        bench.read({"train": many(2)})


prompts = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["{}", " {}", "{}!", "{}\n"]), st.booleans()),
    min_size=30,
    max_size=50,
)


@given(prompts, st.randoms(use_true_random=False), st.integers(0, 3))
def test_no_prompt_leaks_and_no_order_moves_one(
    drawn: list[tuple[str, str, bool]], random: Any, seed: int
) -> None:
    rows: list[AnswerRow] = []
    for letter, form, upper in drawn:
        prompt = form.format(f"prompt {letter.upper() if upper else letter}")
        rows.append(scored(prompt, a=0.5, b=0.25))
    rows += [scored(f"other {n}", a=0.5, b=0.5) for n in range(40)]
    shuffled = random.sample(rows, len(rows))
    found = []
    for order in (rows, shuffled, shuffled[: len(rows) - 1]):
        bench = Bench(MemorySpool(), MemoryRunStore())
        bench.read({"train": order}, seed=seed, test_fraction=0.3, validation_fraction=0.3)
        found.append({split: set(bench.prompts(split)) for split in ("train", "validation", "test")})
    keys = {split: {prompt_key(text) for text in texts} for split, texts in found[0].items()}
    assert not keys["train"] & keys["test"]
    assert not keys["train"] & keys["validation"]
    assert not keys["validation"] & keys["test"]
    assert found[0] == found[1]
    assert all(found[2][split] <= found[0][split] for split in found[0])


LEAKING: dict[str, list[AnswerRow]] = {
    "train": [
        scored("only here", a=1.0, b=0.0),
        scored("In  both?", a=1.0, b=0.0),
        scored("v", a=0.5, b=1.0),
    ],
    "validation": [scored("v", a=1.0, b=0.0), scored("in BOTH", a=0.0, b=1.0), scored("w", a=0.0, b=1.0)],
    "test": [scored("in both", a=1.0, b=0.0)],
}


def test_a_prompt_in_two_splits_is_an_error_that_names_it(bench: Bench) -> None:
    with pytest.raises(DatasetError) as caught:
        bench.read(LEAKING)
    message = str(caught.value)
    assert "memory (train): 1 rows of train hold prompts that stand in test, too" in message
    assert "row 1 (counted from 0): 'In  both?'" in message
    assert "memory (validation): 1 rows of validation" in message
    assert "dataset.drop_duplicates = true" in message


def test_shared_prompts_are_left_out_of_train_and_validation_where_that_is_asked_for(bench: Bench) -> None:
    read = bench.read(LEAKING, drop_duplicates=True)
    assert {split: bench.prompts(split) for split in read.splits} == {
        "train": ["only here"],
        "validation": ["v", "w"],
        "test": ["in both"],
    }
    assert {split: kept.dropped for split, kept in read.splits.items()} == {
        "train": 2,
        "validation": 1,
        "test": 0,
    }
    np.testing.assert_array_equal(bench.load("validation").answered.scores.quality, [[1.0, 0.0], [0.0, 1.0]])


def test_a_split_whose_prompts_all_stand_elsewhere_is_an_error(bench: Bench) -> None:
    with pytest.raises(DatasetError, match="train: all 1 prompts stand in other splits, too"):
        bench.read({"train": [scored("t", a=1.0, b=0.0)], **OTHERS}, drop_duplicates=True)


PRICES = Prices({"a": Price(1e6, 1e6), "b": Price(0.0, 1e6)})


def test_prices_fill_unknown_costs_by_the_mean_answer_of_train(bench: Bench) -> None:
    rows: list[AnswerRow] = [
        scored("p", a=1.0, b=0.0, tokens={"a": 10.0}, prompt_tokens=3.0),
        scored("q", a=1.0, b=0.0, tokens={"a": 20.0}, costs={"b": 0.5}),
    ]
    test: list[AnswerRow] = [scored("eight by", a=1.0, b=0.0, tokens={"b": 99.0})]
    read = bench.read({**OTHERS, "train": rows, "test": test}, prices=PRICES, answer_tokens=7.0)
    np.testing.assert_allclose(bench.load("train").answered.scores.cost, [[13.0, 7.0], [21.0, 0.5]])
    np.testing.assert_allclose(bench.load("test").answered.scores.cost, [[2 + 15.0, 99.0]])
    assert read.without_price == []
    assert bench.load("train").prompt_tokens.tolist() == [3.0, 1.0]
    np.testing.assert_allclose(bench.answers.costs().expect(np.array([2.0])), [[17.0, 7.0]])


def test_battles_have_costs_where_there_are_prices(bench: Bench) -> None:
    splits: dict[str, list[AnswerRow]] = {
        "train": [battle("p", "a", "c")],
        "test": [battle("t")],
        "validation": [battle("v")],
    }
    read = bench.read(splits, prices=PRICES, answer_tokens=7.0)
    answered = bench.load("train").answered
    np.testing.assert_allclose(answered.scores.cost, [[8.0, 7.0, nan]])
    np.testing.assert_allclose(answered.scores.quality, [[1.0, nan, 0.0]])
    assert read.without_price == ["c"]


def test_tables_of_an_earlier_reading_do_not_stay(bench: Bench) -> None:
    bench.read({"train": TRAIN, **OTHERS, "extra": [scored("e", a=1.0, b=1.0)]})
    bench.read({"train": [battle("p")], "test": [battle("t")], "validation": [battle("v")]})
    with pytest.raises(UsageError):
        bench.runs.read_table("answers/train.parquet")
    assert not bench.runs.verify()
    assert not bench.spool.verify()


def test_nothing_is_left_of_the_staging(tmp_path: Path) -> None:
    spool, source = MemorySpool(), MemoryAnswerSource({"train": TRAIN, **OTHERS})
    ReadAnswers(source, spool, MemoryRunStore())()
    assert sorted(spool.splits) == ["test", "train", "validation"]
    assert sorted(source.readings) == ["test", "train", "validation"]


def test_one_model_is_no_choice(bench: Bench) -> None:
    with pytest.raises(UsageError, match="there is one model, 'a'"):
        bench.read({"train": [scored(f"p{n}", a=1.0) for n in range(60)]})


def test_a_split_without_rows_is_an_error(bench: Bench) -> None:
    with pytest.raises(DatasetError, match=r"memory \(test\): split 'test' has no rows"):
        bench.read({"train": TRAIN, **OTHERS, "test": []})


def test_a_limit_counts_rows(bench: Bench) -> None:
    assert bench.read({"train": TRAIN, **OTHERS}, limit=1).splits["train"].prompts == 1
