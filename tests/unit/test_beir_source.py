"""What is said about BEIR directories that are not as they should be."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fusionapp.adapters.beir import BeirSource
from fusionapp.domain.errors import DatasetError

CORPUS = (
    '{"_id": "d1", "title": "", "text": "one"}\n{"_id": "d2", "title": "two"}\n{"_id": "d3", "text": ""}\n'
)
QUERIES = '{"_id": "q1", "text": "ask"}\n{"_id": "unused", "text": ""}\n'


def _directory(
    root: Path, qrels: str = "q1\td1\t2\n", corpus: str = CORPUS, queries: str = QUERIES
) -> BeirSource:
    (root / "corpus.jsonl").write_text(corpus)
    (root / "queries.jsonl").write_text(queries)
    (root / "qrels").mkdir()
    (root / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return BeirSource(root)


def test_a_missing_title_or_text_leaves_the_other(tmp_path: Path) -> None:
    source = _directory(tmp_path, "q1\td1\t2\nq1\td2\t1\n")
    assert [(pair.document, pair.grade) for pair in source.read("test")] == [("one", 2), ("two", 1)]


def test_documents_without_any_text_are_not_searched_in(tmp_path: Path) -> None:
    assert [document.id for document in _directory(tmp_path).corpus("test")] == ["d2"]


def test_trec_qrels_without_a_header_are_read_too(tmp_path: Path) -> None:
    source = _directory(tmp_path)
    (tmp_path / "qrels/test.tsv").write_text("q1 0 d1 1\nq1 0 d2 0\n")
    assert [pair.document_id for pair in source.read("test")] == ["d1"]


@pytest.mark.parametrize(
    ("qrels", "said"),
    [
        (
            "q1\tgone\t1\n",
            r"test.tsv, row 1 .*line 2, column 'corpus-id': 'gone' is not an _id of .*corpus.jsonl",
        ),
        ("gone\td1\t1\n", r"line 2, column 'query-id': 'gone' is not an _id of .*queries.jsonl"),
        ("q1\td3\t1\n", r"corpus.jsonl, row 2 .*: the document is blank"),
        ("unused\td1\t1\n", r"queries.jsonl, row 1 .*: the query is blank"),
        ("q1\td1\thigh\n", "expected a whole number as score, got 'high'"),
        ("q1\td1\n", "expected query-id, corpus-id and score separated by tabs"),
    ],
)
def test_a_bad_judgement_is_named_with_its_line(tmp_path: Path, qrels: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        list(_directory(tmp_path, qrels).read("test"))


@pytest.mark.parametrize(
    ("corpus", "said"),
    [
        ("not json\n", r"corpus.jsonl, row 0 .*line 1: not JSON"),
        ('{"id": "d1"}\n', 'expected an object with a string "_id"'),
        ('{"_id": "d1", "text": "a"}\n{"_id": "d1", "text": "b"}\n', "'d1' stands here a second time"),
        ('{"_id": "d1", "text": 3}\n', "column 'text': expected text, got int 3"),
    ],
)
def test_a_bad_corpus_line_is_named(tmp_path: Path, corpus: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        list(_directory(tmp_path, corpus=corpus).read("test"))


def test_a_directory_of_something_else_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"qrels: holds no SPLIT.tsv; a BEIR directory holds"):
        BeirSource(tmp_path).splits()


def test_a_missing_corpus_is_an_error(tmp_path: Path) -> None:
    source = _directory(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"corpus.jsonl: no such file, nor corpus.jsonl.gz"):
        list(source.read("test"))


def test_a_gzip_file_cut_short_is_damaged(tmp_path: Path) -> None:
    source = _directory(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(CORPUS.encode())[:-9])
    with pytest.raises(DatasetError, match=r"corpus.jsonl.gz: damaged gzip file"):
        list(source.corpus("test"))
