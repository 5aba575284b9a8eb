"""What every pair source promises."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes.pairs import MemoryPairSource

from fusionapp.adapters.arxiv import ArxivSource
from fusionapp.adapters.beir import BeirSource
from fusionapp.adapters.files import FilePairSource
from fusionapp.adapters.hub_datasets import HubPairSource
from fusionapp.application.ports.pair_source import PairSource
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.retrieval.pair_columns import pair_layout
from fusionapp.domain.retrieval.pairs import Document, Pair

# Line breaks, quotes, more than ASCII; negatives from none to two; a query of two documents; in no useful order.
PAIRS: dict[str, list[Pair]] = {
    "test": [Pair('wer, "wo"\nund 编码', "grün 🙂", "q9", "d9", "ü", "3", "2021-02-03", ("a\nb", '[x] "y"'))],
    "extra": [Pair("e", "ee", "q7", "d7", "t", "0", "1999")],
    "train": [
        Pair("z", "long\ntext", "q1", "d1", "t", "1", "2020-01-01", ("n",)),
        Pair("z", "other", "q1", "d2", None, None, None),
        Pair("a", "long\ntext", "q2", "d1", "t", "1", "2020-01-01"),
    ],
    "validation": [Pair("v", "vv", "q3", "d3", "t", "2", "2020-06-01", ("n", "m"), 3)],
}
COLUMNS = pair_layout(
    topic="topic", label="label", date="date", id="id", query_id="qid", negatives="negatives", grade="grade"
)


@attrs.frozen
class Case:
    """A source, what it must yield, and what fits beside it."""

    source: PairSource
    pairs: Mapping[str, Sequence[Pair]]
    corpus: Mapping[str, Sequence[Document]] = attrs.field(factory=dict)


def _row(pair: Pair) -> dict[str, object]:
    return {
        "query": pair.query,
        "document": pair.document,
        "topic": pair.topic,
        "label": None if pair.label is None else int(pair.label),
        "date": pair.date,
        "id": pair.document_id,
        "qid": pair.query_id,
        "negatives": list(pair.negatives),
        "grade": pair.grade,
    }


def memory(root: Path) -> Case:
    corpus = {"test": [Document("c1", "beside", "t")]}
    return Case(MemoryPairSource(PAIRS, corpus), PAIRS, corpus)


def _files(root: Path, suffix: str, write: Callable[[Path, list[dict[str, object]]], object]) -> Case:
    for split, pairs in PAIRS.items():
        write(root / f"{split}{suffix}", [_row(pair) for pair in pairs])
    return Case(FilePairSource({split: root / f"{split}{suffix}" for split in PAIRS}, COLUMNS), PAIRS)


def _write_delimited(path: Path, rows: list[dict[str, object]]) -> None:
    zipped = path.suffix == ".gz"
    with (gzip.open if zipped else open)(path, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if ".tsv" in path.name else ",")
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "negatives": json.dumps(row["negatives"])})


def _json_lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def csv_files(root: Path) -> Case:
    return _files(root, ".csv", _write_delimited)


def tsv_gzip_files(root: Path) -> Case:
    return _files(root, ".tsv.gz", _write_delimited)


def json_lines_files(root: Path) -> Case:
    return _files(root, ".jsonl", lambda path, rows: path.write_bytes(_json_lines(rows)))


def gzip_files(root: Path) -> Case:
    return _files(root, ".jsonl.gz", lambda path, rows: path.write_bytes(gzip.compress(_json_lines(rows))))


def parquet_files(root: Path) -> Case:
    return _files(root, ".parquet", lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path))


def hub_directory(root: Path) -> Case:
    saved = {
        split: datasets.Dataset.from_list([_row(pair) for pair in pairs]) for split, pairs in PAIRS.items()
    }
    datasets.DatasetDict(saved).save_to_disk(str(root / "saved"))
    return Case(HubPairSource(root / "saved", COLUMNS), PAIRS)


def beir(root: Path) -> Case:
    """Titles join their texts; a grade of 0 is no pair; the rest of the corpus is what no pair names."""
    everything = [pair for pairs in PAIRS.values() for pair in pairs]
    texts = {pair.document_id: pair.document for pair in everything}
    corpus: list[dict[str, object]] = [{"_id": i, "title": "T", "text": t} for i, t in texts.items()]
    (root / "corpus.jsonl.gz").write_bytes(gzip.compress(_json_lines([*corpus, {"_id": "c", "text": "u"}])))
    queries: list[dict[str, object]] = [{"_id": p.query_id, "text": p.query} for p in everything]
    by_id = {str(row["_id"]): row for row in queries}
    (root / "queries.jsonl").write_bytes(_json_lines(list(by_id.values())))
    (root / "qrels").mkdir()
    for split, pairs in PAIRS.items():
        lines = [f"{p.query_id}\t{p.document_id}\t{p.grade}\n" for p in pairs] + ["q1\tc\t0\n"]
        name = "dev" if split == "validation" else split
        (root / "qrels" / f"{name}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    expected = {
        split: [Pair(p.query, f"T {p.document}", p.query_id, p.document_id, grade=p.grade) for p in pairs]
        for split, pairs in PAIRS.items()
    }
    rest = {
        split: [
            *(Document(i, f"T {t}") for i, t in texts.items() if i not in {p.document_id for p in pairs}),
            Document("c", "u"),
        ]
        for split, pairs in PAIRS.items()
    }
    return Case(BeirSource(root), expected, rest)


def arxiv(root: Path) -> Case:
    """A paper of another file's version is left out."""
    expected = {}
    for split, pairs in PAIRS.items():
        papers = {pair.document_id: pair for pair in pairs}
        expected[split] = [Pair(p.query, p.document, i, i, p.topic, date=p.date) for i, p in papers.items()]
        rows: list[dict[str, object]] = [
            {"id": i, "title": p.query, "abstract": p.document, "primary": p.topic, "date": p.date}
            for i, p in papers.items()
        ]
        (root / f"{split}.jsonl").write_bytes(_json_lines([*rows, {**rows[0], "id": f"{rows[0]['id']}v2"}]))
    return Case(ArxivSource({split: root / f"{split}.jsonl" for split in PAIRS}), expected)


@pytest.fixture(
    params=[
        memory,
        csv_files,
        tsv_gzip_files,
        json_lines_files,
        gzip_files,
        parquet_files,
        hub_directory,
        beir,
        arxiv,
    ],
    ids=lambda make: make.__name__,
)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    made: Case = request.param(tmp_path)
    return made


def test_splits_stand_in_order(case: Case) -> None:
    assert tuple(case.source.splits()) == ("train", "validation", "test", "extra")


def test_pairs_come_in_input_order(case: Case) -> None:
    assert {split: list(case.source.read(split)) for split in case.source.splits()} == case.pairs


def test_the_corpus_holds_what_stands_beside_the_pairs(case: Case) -> None:
    for split in case.source.splits():
        assert list(case.source.corpus(split)) == case.corpus.get(split, [])


def test_an_id_names_one_text(case: Case) -> None:
    for split in case.source.splits():
        pairs = list(case.source.read(split))
        for named in (
            {(p.query_id, p.query) for p in pairs},
            {(p.document_id, p.document) for p in pairs}
            | {(d.id, d.text) for d in case.source.corpus(split)},
        ):
            assert len({id for id, _ in named}) == len(named)


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
    for ask in (case.source.read, case.source.corpus, case.source.describe):
        with pytest.raises(
            DatasetError, match="no split 'nowhere'; the splits there are: train, validation, test"
        ):
            list(ask("nowhere"))
