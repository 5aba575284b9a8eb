"""What pairs in files may look like, and what is said where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fusionapp.adapters.files import FilePairSource
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.retrieval.pair_columns import pair_layout


def _write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _source(files: Any, limit: int | None = None, **columns: Any) -> FilePairSource:
    return FilePairSource({"train": files}, pair_layout(**columns), limit)


def _read(path: Path, *rows: dict[str, Any], **settings: Any) -> list[Any]:
    return list(_source(_write(path, *rows), **settings).read("train"))


def test_files_of_a_split_are_read_in_order_each_with_its_topic(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.jsonl", {"query": "q", "document": "d"})
    second = _write(tmp_path / "b.jsonl", {"query": "r", "document": "e"})
    source = _source([{"path": first, "topic": "gr-qc"}, {"path": str(second)}, first])
    assert [(pair.query, pair.topic) for pair in source.read("train")] == [
        ("q", "gr-qc"),
        ("r", None),
        ("q", None),
    ]
    assert source.describe("train") == f"{first}, {second}, {first}"


def test_a_rows_own_topic_goes_before_its_files(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "a.jsonl",
        {"query": "q", "document": "d", "topic": "own"},
        {"query": "r", "document": "e", "topic": ""},
    )
    source = _source({"path": path, "topic": "files"}, topic="topic")
    assert [pair.topic for pair in source.read("train")] == ["own", "files"]


@pytest.mark.parametrize("table", [{"topic": "x"}, {"path": "a", "topics": "x"}, {"path": 3}])
def test_a_table_that_names_no_file_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"dataset.train: expected \{path"):
        _source([table])


def test_a_split_without_a_file_is_refused() -> None:
    with pytest.raises(UsageError, match=r"dataset.train: names no file"):
        _source([])


def test_rows_are_counted_over_the_files_of_a_split(tmp_path: Path) -> None:
    good = _write(tmp_path / "a.jsonl", {"query": "q", "document": "d"})
    bad = _write(tmp_path / "b.jsonl", {"query": "q", "document": " "})
    with pytest.raises(DatasetError, match=r"b.jsonl, row 1 .*line 1, column 'document': the text is blank"):
        list(_source([good, bad]).read("train"))


def test_texts_without_ids_name_themselves(tmp_path: Path) -> None:
    one, two, three = _read(
        tmp_path / "a.jsonl",
        {"query": "q", "document": "d"},
        {"query": "q", "document": "e"},
        {"query": "d", "document": "d"},
    )
    assert one.query_id == two.query_id != three.query_id
    assert one.document_id == three.document_id != two.document_id


def test_several_id_columns_are_one_id_and_several_text_columns_one_text(tmp_path: Path) -> None:
    (pair,) = _read(
        tmp_path / "a.jsonl",
        {"query": "q", "title": "t", "body": "b", "paper": "p", "paragraph": 3},
        document=["title", "body"],
        id=["paper", "paragraph"],
    )
    assert (pair.document, pair.document_id) == ("t\nb", "p/3")


@pytest.mark.parametrize("id", [None, "", float("nan")])
def test_a_missing_id_is_an_error(tmp_path: Path, id: object) -> None:
    with pytest.raises(DatasetError, match=r"row 0 .*column 'i': the id is missing"):
        _read(tmp_path / "a.jsonl", {"query": "q", "document": "d", "i": id}, id="i")


def test_negatives_come_from_several_columns_some_of_them_empty(tmp_path: Path) -> None:
    (pair,) = _read(
        tmp_path / "a.jsonl",
        {"query": "q", "document": "d", "n1": "one", "n2": None, "n3": '["two", "three"]', "n4": ""},
        negatives=["n1", "n2", "n3", "n4"],
    )
    assert pair.negatives == ("one", "two", "three")


def test_a_negative_that_only_looks_like_a_list_is_a_text(tmp_path: Path) -> None:
    (pair,) = _read(
        tmp_path / "a.jsonl", {"query": "q", "document": "d", "n": "[Fe/H] of halo stars"}, negatives="n"
    )
    assert pair.negatives == ("[Fe/H] of halo stars",)


@pytest.mark.parametrize(
    ("value", "said"), [(["a", " "], "the negative is blank"), (3, "got int 3"), (["a", 3], "got int 3")]
)
def test_negatives_that_are_no_texts_are_an_error(tmp_path: Path, value: object, said: str) -> None:
    with pytest.raises(DatasetError, match=f"row 0 .*column 'n': .*{said}"):
        _read(tmp_path / "a.jsonl", {"query": "q", "document": "d", "n": value}, negatives="n")


@pytest.mark.parametrize("grade", [0, -1, 1.5, "high", None, True])
def test_a_grade_below_one_is_an_error(tmp_path: Path, grade: object) -> None:
    with pytest.raises(DatasetError, match=r"column 'g': expected a grade of at least 1"):
        _read(tmp_path / "a.jsonl", {"query": "q", "document": "d", "g": grade}, grade="g")


def test_a_missing_column_is_an_error_that_lists_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match="column 'document': no such column; the columns there are: 'query', 'text'"
    ):
        _read(tmp_path / "a.jsonl", {"query": "q", "text": "d"})


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    rows = [{"query": "q", "document": "d"}, {"query": "q", "document": " "}]
    assert len(_read(tmp_path / "a.jsonl", *rows, limit=1)) == 1
    with pytest.raises(UsageError, match=r"dataset.limit: expected at least 1, got 0"):
        _source("a.csv", limit=0)


def test_a_file_of_lines_holds_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("q\n")
    with pytest.raises(DatasetError, match=r"a .txt file holds a text a line and no other column"):
        list(_source(tmp_path / "a.txt").read("train"))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"query": []}, "dataset.query: expected a column"),
        ({"document": ["a", "a"]}, "dataset.document: a column is named twice"),
    ],
)
def test_settings_that_name_no_text_are_refused(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _source("a.csv", **columns)
