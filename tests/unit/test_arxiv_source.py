"""Papers in files, as they are fetched and as others keep them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fusionapp.adapters.arxiv import ArxivSource
from fusionapp.domain.errors import DatasetError, UsageError

PAPER: dict[str, Any] = {
    "id": "2101.00001",
    "title": "T",
    "abstract": "A",
    "primary": "gr-qc",
    "date": "2021-01-01",
}


def _read(path: Path, *papers: dict[str, Any]) -> list[Any]:
    path.write_text("".join(json.dumps(paper) + "\n" for paper in papers))
    return list(ArxivSource({"train": path}).read("train"))


def test_a_directory_is_read_file_by_file_and_each_paper_once(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text(json.dumps({**PAPER, "id": "2101.00001v3"}) + "\n")
    (tmp_path / "a.jsonl.gz").write_bytes(
        gzip.compress((json.dumps({**PAPER, "id": "quant-ph/0201082v1"}) + "\n").encode())
    )
    (tmp_path / "c.jsonl").write_text(json.dumps(PAPER) + "\n")
    pairs = ArxivSource({"train": tmp_path}).read("train")
    assert [pair.document_id for pair in pairs] == ["quant-ph/0201082", "2101.00001"]


@pytest.mark.parametrize(
    ("change", "topic"),
    [
        ({}, "gr-qc"),
        ({"primary": None, "categories": ["hep-th", "gr-qc"]}, "hep-th"),
        ({"primary": None, "categories": "math-ph gr-qc"}, "math-ph"),
        ({"primary": None, "topic": "q-bio", "categories": ["hep-th"]}, "q-bio"),
        ({"primary": None}, None),
    ],
)
def test_the_topic_is_the_primary_category(tmp_path: Path, change: dict[str, Any], topic: str | None) -> None:
    (pair,) = _read(tmp_path / "a.jsonl", {**PAPER, **change})
    assert pair.topic == topic


def test_a_paper_without_a_date_has_none(tmp_path: Path) -> None:
    (pair,) = _read(tmp_path / "a.jsonl", {**PAPER, "date": None})
    assert pair.date is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"title": " "}, "column 'title': the title is blank"),
        ({"abstract": None}, r"column 'abstract': the text is missing \(null\)"),
        ({"id": ""}, "column 'id': the id is blank"),
        ({"id": 3}, "column 'id': expected text, got int 3"),
    ],
)
def test_a_paper_without_a_text_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=f"a.jsonl, row 1 .*line 2, {said}"):
        _read(tmp_path / "a.jsonl", PAPER, {**PAPER, **change})


@pytest.mark.parametrize(
    ("content", "said"), [("[1]", "expected one object a line, got list"), ("{", "not JSON")]
)
def test_a_line_that_is_no_paper_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(DatasetError, match=rf"a.jsonl, line 1: {said}"):
        list(ArxivSource({"train": tmp_path / "a.jsonl"}).read("train"))


def test_a_directory_without_papers_says_how_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no .jsonl file; `fusionapp fetch arxiv"):
        list(ArxivSource({"train": tmp_path}).read("train"))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone.jsonl: cannot be read"):
        list(ArxivSource({"train": tmp_path / "gone.jsonl"}).read("train"))


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="names no file"):
        ArxivSource({"train": []})
    with pytest.raises(UsageError, match=r"dataset.limit"):
        ArxivSource({"train": "a.jsonl"}, limit=0)
