"""What models' answers in files may look like, and what is said where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionapp.adapters.files import FileAnswerSource, read_prices
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.routing.answer_columns import answer_columns
from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, SECOND, TIE
from fusionapp.domain.routing.rows import BattleRow, ScoreRow, read_outcome


def _write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _source(files: Any, limit: int | None = None, **columns: Any) -> FileAnswerSource:
    return FileAnswerSource({"train": files}, answer_columns(**columns), limit)


def _read(path: Path, *rows: dict[str, Any], **settings: Any) -> list[Any]:
    return list(_source(_write(path / "a.jsonl", *rows), **settings).read("train"))


def _scores(path: Path, *rows: dict[str, Any], **columns: Any) -> list[dict[str, float]]:
    return [dict(row.scores) for row in _read(path, *rows, **columns)]


BATTLE = {"prompt": "p", "model_a": "a", "model_b": "b"}


def test_scores_and_battles_may_stand_in_two_files_of_a_split(tmp_path: Path) -> None:
    scores = _write(tmp_path / "s.jsonl", {"prompt": "p", "scores": {"a": 1}})
    battles = _write(tmp_path / "b.jsonl", {**BATTLE, "winner": "b"})
    first, second = _source([scores, battles]).read("train")
    assert (type(first), type(second)) == (ScoreRow, BattleRow)
    assert first.id == second.id  # of their text


def test_columns_of_models_can_be_listed(tmp_path: Path) -> None:
    row = {"prompt": "p", "gpt": 0.5, "claude": None, "gpt|total_cost": 1e-4, "claude|total_cost": 2e-4}
    (read,) = _read(tmp_path, row, scores=["gpt", "claude"], costs="*|total_cost")
    assert (read.scores, read.costs) == ({"gpt": 0.5}, {"gpt": 1e-4, "claude": 2e-4})


def test_a_listed_model_without_a_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match="column 'gpt-5': no such column; the columns there are: 'prompt', 'gpt'"
    ):
        _read(tmp_path, {"prompt": "p", "gpt": 1}, scores=["gpt", "gpt-5"])


def test_a_pattern_may_have_the_model_in_its_middle(tmp_path: Path) -> None:
    assert _scores(tmp_path, {"prompt": "p", "q:a:x": 1, "q:b:x": 0, "q::x": 7}, scores="q:*:x") == [
        {"a": 1.0, "b": 0.0}
    ]


def test_json_rows_may_know_different_models(tmp_path: Path) -> None:
    assert _scores(tmp_path, {"prompt": "p", "score_a": 1}, {"prompt": "q", "score_b": 0}) == [
        {"a": 1.0},
        {"b": 0.0},
    ]


def test_a_struct_of_parquet_is_a_mapping_and_its_nulls_are_no_scores(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["p", "q"], "scores": [{"a": 1.0, "b": None}, {"a": 0.0, "b": 0.5}]})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = _source(tmp_path / "a.parquet").read("train")
    assert [row.scores for row in rows if isinstance(row, ScoreRow)] == [{"a": 1.0}, {"a": 0.0, "b": 0.5}]


def test_a_named_column_of_scores_beside_one_of_models_is_read_row_by_row(tmp_path: Path) -> None:
    row = {"prompt": "p", "llm": "a", "quality": "0.5", "usd": 0.1, "scores": {"x": 1}}
    (read,) = _read(tmp_path, row, model="llm", scores="quality", costs="usd")
    assert (read.scores, read.costs) == ({"a": 0.5}, {"a": 0.1})


@pytest.mark.parametrize(
    ("winner", "outcome"),
    [
        ("model_a", FIRST),
        ("A", FIRST),
        ("Model B", SECOND),
        ("b", SECOND),
        ("tie", TIE),
        ("draw", TIE),
        ("tie (bothbad)", BOTH_BAD),
        ("tie (both bad)", BOTH_BAD),
        ("both_bad", BOTH_BAD),
        ("bothbad", BOTH_BAD),
    ],
)
def test_winners_are_known_by_the_fields_spellings(winner: str, outcome: int, tmp_path: Path) -> None:
    (row,) = _read(tmp_path, {**BATTLE, "winner": winner})
    assert row.outcome == outcome


def test_an_unknown_winner_is_none() -> None:
    assert read_outcome("gpt-4") is None


@pytest.mark.parametrize(
    ("indicators", "outcome"), [((1, 0, 0), FIRST), ((0, 1, 0), SECOND), ((0, 0, 1), TIE)]
)
def test_indicator_columns_and_a_list_of_turns_are_the_exports_own(
    indicators: tuple[int, int, int], outcome: int, tmp_path: Path
) -> None:
    names = ("winner_model_a", "winner_model_b", "winner_tie")
    row = {**BATTLE, "prompt": '["first words", "then"]', **dict(zip(names, indicators, strict=True))}
    (read,) = _read(tmp_path, row)
    assert (read.prompt, read.outcome) == ("first words", outcome)


@pytest.mark.parametrize("indicators", [(1, 1, 0), (0, 0, 0), (1, 0, 2), (None, 0, 1)])
def test_indicators_that_name_no_single_winner_are_refused(
    indicators: tuple[Any, ...], tmp_path: Path
) -> None:
    names = ("winner_model_a", "winner_model_b", "winner_tie")
    with pytest.raises(
        DatasetError, match="expected a single 1 among winner_model_a, winner_model_b, winner_tie"
    ):
        _read(tmp_path, {**BATTLE, **dict(zip(names, indicators, strict=True))})


@pytest.mark.parametrize(
    "conversation",
    [
        [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "hi"},
            {"role": "user", "content": "x"},
        ],
        '[{"role": "user", "content": "hi"}]',
        [{"from": "human", "value": "hi"}],
        [{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image"}]}],
    ],
)
def test_a_conversations_prompt_is_its_users_first_turn(conversation: Any, tmp_path: Path) -> None:
    row = {"conversation": conversation, "model_a": "a", "model_b": "b", "winner": "tie"}
    assert _read(tmp_path, row)[0].prompt == "hi"
    assert _read(tmp_path, {"talk": conversation, "scores": {"a": 1}}, conversation="talk")[0].prompt == "hi"


def test_a_prompt_that_looks_like_a_conversation_is_left_as_it_is(tmp_path: Path) -> None:
    prompt = '["first words", "then"]'
    assert _read(tmp_path, {**BATTLE, "prompt": prompt, "winner": "tie"})[0].prompt == prompt


@pytest.mark.parametrize("conversation", ["hello", [{"role": "assistant", "content": "x"}], 3, "[1"])
def test_a_conversation_without_a_users_turn_is_an_error(conversation: Any, tmp_path: Path) -> None:
    row = {"conversation": conversation, "model_a": "a", "model_b": "b", "winner": "tie"}
    with pytest.raises(DatasetError, match="expected a conversation with a turn of the user"):
        _read(tmp_path, row)


def test_scores_are_scaled_by_their_range(tmp_path: Path) -> None:
    assert _scores(tmp_path, {"prompt": "p", "scores": {"a": 1, "b": 7, "c": 10}}, score_range=[1, 10]) == [
        {"a": 0.0, "b": pytest.approx(2 / 3), "c": 1.0}
    ]


@pytest.mark.parametrize("score", [7, -0.1])
def test_a_score_out_of_range_is_an_error_with_the_way_out(score: float, tmp_path: Path) -> None:
    rows = [{"prompt": "p", "scores": {"a": 1}}, {"prompt": "q", "scores": {"a": 0, "b": score}}]
    with pytest.raises(
        DatasetError,
        match=r"row 1 .*score -?[\d.]+ of model 'b' is not in \[0, 1\]; .*score_range = \[low, high\]",
    ):
        _read(tmp_path, *rows)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"prompt": " ", "scores": {"a": 1}}, "column 'prompt': the prompt is blank"),
        ({"prompt": None, "scores": {"a": 1}}, "column 'prompt': the text is missing"),
        ({"prompt": "p", "scores": {}}, "no model has a score"),
        ({"prompt": "p", "scores": {"a": None}}, "no model has a score"),
        ({"prompt": "p", "scores": {"a": "good"}}, "expected a number of model 'a', got 'good'"),
        ({"prompt": "p", "scores": {"a": float("inf")}}, "expected a number of model 'a', got inf"),
        ({"prompt": "p", "scores": [1]}, "expected a mapping from model to number"),
        ({"prompt": "p", "scores": "a: 1"}, "expected a mapping from model to number"),
        ({"prompt": "p", "scores": {" ": 1}}, "expected a mapping from model to number"),
        ({"prompt": "p", "scores": {"a": 1}, "costs": {"a": -1}}, "at least 0 for model 'a', got -1"),
        ({"prompt": "p", "scores": {"a": 1}, "prompt_tokens": -1}, "at least 0 tokens, got -1"),
        ({"prompt": "p", "model": " ", "score": 1}, "the model's name is blank"),
        ({**BATTLE, "winner": "c"}, 'expected "model_a", "model_b", "tie" or "both_bad", got \'c\''),
        ({**BATTLE, "winner": None}, "got None"),
        ({**BATTLE, "model_b": "a", "winner": "tie"}, "model 'a' battles itself"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(cells: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        _read(tmp_path, cells)
    assert "a.jsonl, row 0 (counted from 0), line 1" in str(caught.value)
    assert problem in str(caught.value)


def test_a_missing_id_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="column 'id': the id is missing"):
        _read(tmp_path, {"prompt": "p", "id": None, "scores": {"a": 1}}, id="id")


def test_several_id_columns_are_one_id(tmp_path: Path) -> None:
    assert (
        _read(tmp_path, {"prompt": "p", "s": "x", "n": 3, "scores": {"a": 1}}, id=["s", "n"])[0].id == "x/3"
    )


def test_columns_that_fit_nothing_are_listed_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"the columns there are: 'prompt', 'gpt'; expected, .*dataset.scores"
    ):
        _read(tmp_path, {"prompt": "p", "gpt": 1})


def test_a_table_without_prompts_is_refused_by_that_name(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match="column 'prompt': no such column; the columns there are: 'text', 'scores'"
    ):
        _read(tmp_path, {"text": "p", "scores": {"a": 1}})


TWO_WAYS = {**BATTLE, "winner": "a", "scores": {"a": 0.5}}


def test_columns_that_fit_twice_ask_for_the_layout(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r'read in several ways; say dataset.layout = "mapping" or "battles"'
    ):
        _read(tmp_path, TWO_WAYS)


def test_the_named_layout_wins(tmp_path: Path) -> None:
    assert isinstance(_read(tmp_path, TWO_WAYS, layout="mapping")[0], ScoreRow)
    assert isinstance(_read(tmp_path, TWO_WAYS, layout="battles")[0], BattleRow)


def test_a_named_layout_that_does_not_fit_names_the_column(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="column 'score': no such column"):
        _read(tmp_path, {"prompt": "p", "model": "a", "scores": {"a": 1}}, layout="long")


@pytest.mark.parametrize(
    "setting", [{"costs": "usd"}, {"costs": "usd_*"}, {"task": "usd"}, {"prompt_tokens": "usd"}]
)
def test_what_was_named_and_is_missing_is_an_error(setting: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no such column|no column fits dataset.costs = 'usd_\*'"):
        _read(tmp_path, {"prompt": "p", "scores": {"a": 1}}, **setting)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"layout": "broad"}, "dataset.layout: expected auto, mapping, wide, long, battles, got 'broad'"),
        ({"prompt": "p", "conversation": "c"}, "dataset.prompt and dataset.conversation: name one"),
        ({"score_range": [1, 0]}, r"expected \[low, high\], low below high"),
        ({"score_range": [1]}, r"dataset.score_range: expected \[low, high\], got \[1\]"),
        ({"costs": "*_*"}, 'dataset.costs: expected one "\\*"'),
        ({"limit": 0}, "dataset.limit: expected at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        _source("a.jsonl", **settings)


def test_a_split_without_a_file_is_refused() -> None:
    with pytest.raises(UsageError, match=r"dataset.train: names no file"):
        _source([])


def test_a_text_file_holds_no_answers(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(DatasetError, match=r"a .txt file holds a text a line"):
        list(_source(tmp_path / "a.txt").read("train"))


def test_a_limit_counts_rows_of_a_split(tmp_path: Path) -> None:
    rows = [{"prompt": str(n), "scores": {"a": 1}} for n in range(5)]
    assert len(_read(tmp_path, *rows, limit=2)) == 2


def test_prices_are_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"a": {"size": "7B", "input_price_usd_per_mtok": 1, "output_price_usd_per_mtok": 2.5}}')
    price = read_prices(path).models["a"]
    assert (price.input, price.output) == (1.0, 2.5)


@pytest.mark.parametrize(
    ("content", "problem"), [("{", "not JSON"), ("[]", "expected an object"), ("", "not JSON")]
)
def test_a_file_that_holds_no_prices_is_refused(content: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text(content)
    with pytest.raises(DatasetError, match=f"prices.json: {problem}"):
        read_prices(tmp_path / "prices.json")
