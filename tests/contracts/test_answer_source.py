"""What every source of models' answers promises."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes.answers import MemoryAnswerSource

from fusionapp.adapters.files import FileAnswerSource
from fusionapp.adapters.hub_datasets import HubAnswerSource
from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.routing.answer_columns import answer_columns
from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, SECOND, TIE
from fusionapp.domain.routing.rows import AnswerRow, BattleRow, ScoreRow

ALL = {"m-1": 0.5, "m 2": 1.0}

# Line breaks, quotes, more than ASCII; a model that did not answer; a prompt twice; in no useful order.
SCORES: dict[str, list[ScoreRow]] = {
    "test": [
        ScoreRow('wer, "wo"\nund 编码', "p9", "t", ALL, {"m-1": 2e-3, "m 2": 1e-3}, {"m-1": 0.5}, {}, 7.0)
    ],
    "extra": [ScoreRow("e", "p8", None, {"m 2": 0.0})],
    "train": [
        ScoreRow("z", "p1", "t", {"m-1": 0.25}, {"m-1": 1e-3}, {}, {"m-1": 12.0}),
        ScoreRow("y 🙂", "p2", None, ALL, {}, {"m-1": 0.5, "m 2": 2.0}, {"m-1": 3.0, "m 2": 4.0}, 2.0),
        ScoreRow("z", "p1", "t", {"m-1": 0.75}),
    ],
    "validation": [ScoreRow("v", "p3", "u", ALL)],
}
BATTLES: dict[str, list[BattleRow]] = {
    "test": [BattleRow('wer, "wo"\nund 编码', "p9", "t", "m-1", "m 2", FIRST, 7.0)],
    "extra": [BattleRow("e", "p8", None, "m 2", "m-1", SECOND)],
    "train": [
        BattleRow("z", "p1", "t", "m-1", "m 2", TIE),
        BattleRow("z", "p1", "t", "m-1", "m 2", BOTH_BAD),
    ],
    "validation": [BattleRow("v", "p3", "u", "m-1", "m 3", FIRST)],
}
WINNERS = {FIRST: "model_a", SECOND: "model_b", TIE: "tie", BOTH_BAD: "tie (bothbad)"}


@attrs.frozen
class Case:
    """A source and what it must yield."""

    source: AnswerSource
    rows: Mapping[str, Sequence[AnswerRow]]


Row = dict[str, Any]
Write = Callable[[Path, list[Row]], object]


def _start(row: AnswerRow) -> Row:
    return {"prompt": row.prompt, "pid": row.id, "task": row.task, "prompt_tokens": row.prompt_tokens}


def _measures(row: ScoreRow) -> dict[str, Mapping[str, float]]:
    return {"score": row.scores, "cost": row.costs, "latency": row.latencies, "tokens": row.tokens}


def _mapping(row: ScoreRow) -> list[Row]:
    scores, *others = _measures(row).values()
    named = dict(zip(("costs", "latencies", "tokens"), others, strict=True))
    return [{**_start(row), "scores": dict(scores), **{key: dict(value) for key, value in named.items()}}]


def _wide(row: ScoreRow) -> list[Row]:
    cells = {
        f"{key}_{model}": values.get(model)
        for key, values in _measures(row).items()
        for model in ("m-1", "m 2")
    }
    return [{**_start(row), **cells}]


def _battle(row: BattleRow) -> list[Row]:
    return [{**_start(row), "model_a": row.model_a, "model_b": row.model_b, "winner": WINNERS[row.outcome]}]


def _long(row: ScoreRow) -> list[Row]:
    return [
        {**_start(row), "model": model, **{key: values.get(model) for key, values in _measures(row).items()}}
        for model in row.scores
    ]


def _one_by_one(row: ScoreRow) -> list[AnswerRow]:
    def of(values: Mapping[str, float], model: str) -> dict[str, float]:
        return {model: values[model]} if model in values else {}

    return [
        attrs.evolve(
            row,
            scores={model: score},
            costs=of(row.costs, model),
            latencies=of(row.latencies, model),
            tokens=of(row.tokens, model),
        )
        for model, score in row.scores.items()
    ]


def _write_delimited(path: Path, rows: list[Row]) -> None:
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if ".tsv" in path.name else ",")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {key: json.dumps(cell) if isinstance(cell, dict) else cell for key, cell in row.items()}
            )


def _write_lines(path: Path, rows: list[Row]) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)


def _write_parquet(path: Path, rows: list[Row]) -> None:
    """Mappings as maps, whose keys may differ from row to row."""
    columns: dict[str, Any] = {}
    for key in rows[0]:
        cells = [row[key] for row in rows]
        if isinstance(cells[0], dict):
            maps = [list(cell.items()) for cell in cells]
            columns[key] = pa.array(maps, type=pa.map_(pa.string(), pa.float64()))
        else:
            columns[key] = pa.array(cells)
    pq.write_table(pa.table(columns), path)


def _files(root: Path, suffix: str, write: Write, made: Mapping[str, list[Row]]) -> AnswerSource:
    for split, rows in made.items():
        write(root / f"{split}{suffix}", rows)
    return FileAnswerSource({split: root / f"{split}{suffix}" for split in made}, answer_columns(id="pid"))


def _rows(make: Callable[[Any], list[Row]], given: Mapping[str, Sequence[Any]]) -> dict[str, list[Row]]:
    return {split: [made for row in rows for made in make(row)] for split, rows in given.items()}


def memory(root: Path) -> Case:
    return Case(MemoryAnswerSource(SCORES), SCORES)


def mapping_lines(root: Path) -> Case:
    return Case(_files(root, ".jsonl", _write_lines, _rows(_mapping, SCORES)), SCORES)


def mapping_csv(root: Path) -> Case:
    return Case(_files(root, ".csv", _write_delimited, _rows(_mapping, SCORES)), SCORES)


def mapping_parquet(root: Path) -> Case:
    return Case(_files(root, ".parquet", _write_parquet, _rows(_mapping, SCORES)), SCORES)


def wide_tsv_gzip(root: Path) -> Case:
    return Case(_files(root, ".tsv.gz", _write_delimited, _rows(_wide, SCORES)), SCORES)


def wide_parquet(root: Path) -> Case:
    return Case(_files(root, ".parquet", _write_parquet, _rows(_wide, SCORES)), SCORES)


def long_csv(root: Path) -> Case:
    expected = {split: [one for row in rows for one in _one_by_one(row)] for split, rows in SCORES.items()}
    return Case(_files(root, ".csv", _write_delimited, _rows(_long, SCORES)), expected)


def long_gzip_lines(root: Path) -> Case:
    expected = {split: [one for row in rows for one in _one_by_one(row)] for split, rows in SCORES.items()}
    return Case(_files(root, ".jsonl.gz", _write_lines, _rows(_long, SCORES)), expected)


def battle_lines(root: Path) -> Case:
    return Case(_files(root, ".jsonl", _write_lines, _rows(_battle, BATTLES)), BATTLES)


def battle_csv(root: Path) -> Case:
    return Case(_files(root, ".csv", _write_delimited, _rows(_battle, BATTLES)), BATTLES)


def _saved(root: Path, made: Mapping[str, list[Row]]) -> AnswerSource:
    saved = {split: datasets.Dataset.from_list(rows) for split, rows in made.items()}
    datasets.DatasetDict(saved).save_to_disk(str(root / "saved"))
    return HubAnswerSource(root / "saved", answer_columns(id="pid"))


def hub_mapping(root: Path) -> Case:
    return Case(_saved(root, _rows(_mapping, SCORES)), SCORES)


def hub_wide(root: Path) -> Case:
    return Case(_saved(root, _rows(_wide, SCORES)), SCORES)


def hub_battles(root: Path) -> Case:
    return Case(_saved(root, _rows(_battle, BATTLES)), BATTLES)


@pytest.fixture(
    params=[
        memory,
        mapping_lines,
        mapping_csv,
        mapping_parquet,
        wide_tsv_gzip,
        wide_parquet,
        long_csv,
        long_gzip_lines,
        battle_lines,
        battle_csv,
        hub_mapping,
        hub_wide,
        hub_battles,
    ],
    ids=lambda make: make.__name__,
)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    made: Case = request.param(tmp_path)
    return made


def test_splits_stand_in_order(case: Case) -> None:
    assert tuple(case.source.splits()) == ("train", "validation", "test", "extra")


def test_rows_come_in_input_order(case: Case) -> None:
    assert {split: list(case.source.read(split)) for split in case.source.splits()} == case.rows


def test_a_split_can_be_read_again(case: Case) -> None:
    assert list(case.source.read("train")) == list(case.source.read("train"))


def test_two_readings_do_not_disturb_each_other(case: Case) -> None:
    first, second = case.source.read("train"), case.source.read("train")
    assert next(first) == next(second)
    assert list(first) == list(second)


def test_each_split_says_where_it_is_read_from(case: Case) -> None:
    told = [case.source.describe(split) for split in case.source.splits()]
    assert all(told)
    assert len(set(told)) == len(told)


def test_a_split_that_is_not_there_is_an_error_that_lists_those_that_are(case: Case) -> None:
    for ask in (case.source.read, case.source.describe):
        with pytest.raises(
            DatasetError, match="no split 'nowhere'; the splits there are: train, validation, test"
        ):
            list(ask("nowhere"))
