"""What every dataset source promises."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import attrs
import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes.datasets import MemorySource
from fakes.packages import write_packages

from fusionapp.adapters.docstrings import DocstringSource
from fusionapp.adapters.files import FileDatasetSource
from fusionapp.adapters.hub_datasets import HubDatasetSource
from fusionapp.application.ports.dataset_source import DatasetSource
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.examples import Example

# Integer labels, a line break, quotes, a blank text, more than ASCII; given in no useful order.
ROWS: dict[str, list[tuple[str, int]]] = {
    "test": [('grün, "gelb"\nund blau', 2), (" ", 0)],
    "extra": [("emoji 🙂", 1)],
    "train": [("z", 1), ("a", 0), ("m", 2)],
    "validation": [("v", 0)],
}


@attrs.frozen
class Case:
    """A source and, where its content is given, what it must yield."""

    source: DatasetSource
    expected: dict[str, list[Example]] | None


def _expected() -> dict[str, list[Example]]:
    return {
        split: [Example(text, str(label), {"row": row}) for row, (text, label) in enumerate(rows)]
        for split, rows in ROWS.items()
    }


def memory(root: Path) -> Case:
    return Case(
        MemorySource({split: [(t, str(y)) for t, y in rows] for split, rows in ROWS.items()}), _expected()
    )


def _files(root: Path, suffix: str, write: Callable[[Path, list[tuple[str, int]]], object]) -> Case:
    for split, rows in ROWS.items():
        write(root / f"{split}{suffix}", rows)
    return Case(FileDatasetSource({split: root / f"{split}{suffix}" for split in ROWS}), _expected())


def _write_csv(path: Path, rows: list[tuple[str, int]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])


def _json_lines(rows: list[tuple[str, int]]) -> bytes:
    return "".join(json.dumps({"label": label, "text": text}) + "\n" for text, label in rows).encode()


def _write_parquet(path: Path, rows: list[tuple[str, int]]) -> None:
    pq.write_table(
        pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}), path
    )


def csv_files(root: Path) -> Case:
    return _files(root, ".csv", _write_csv)


def json_lines_files(root: Path) -> Case:
    return _files(root, ".jsonl", lambda path, rows: path.write_bytes(_json_lines(rows)))


def gzip_files(root: Path) -> Case:
    return _files(root, ".jsonl.gz", lambda path, rows: path.write_bytes(gzip.compress(_json_lines(rows))))


def parquet_files(root: Path) -> Case:
    return _files(root, ".parquet", _write_parquet)


def hub_directory(root: Path) -> Case:
    saved = {
        split: datasets.Dataset.from_list([{"text": text, "label": label} for text, label in rows])
        for split, rows in ROWS.items()
    }
    datasets.DatasetDict(saved).save_to_disk(str(root / "saved"))
    return Case(HubDatasetSource(root / "saved"), _expected())


def docstrings(root: Path) -> Case:
    site, stdlib = write_packages(root)
    return Case(DocstringSource(min_rows=10, site_packages=[site], stdlib=stdlib), None)


@pytest.fixture(
    params=[memory, csv_files, json_lines_files, gzip_files, parquet_files, hub_directory, docstrings],
    ids=lambda make: make.__name__,
)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    made: Case = request.param(tmp_path)
    return made


def test_splits_stand_in_order(case: Case) -> None:
    others = () if case.expected is None else ("extra",)
    assert tuple(case.source.splits()) == ("train", "validation", "test", *others)


def test_examples_come_in_input_order_with_labels_as_text_and_row_numbers_as_ids(case: Case) -> None:
    if case.expected is None:
        pytest.skip("the docstrings' content is not given; tests/unit/test_docstrings_source.py looks at it")
    assert {split: list(case.source.read(split)) for split in case.source.splits()} == case.expected


def test_every_row_has_a_text_a_label_and_an_id_of_its_own(case: Case) -> None:
    for split in case.source.splits():
        rows = list(case.source.read(split))
        assert rows
        assert all(isinstance(row.text, str) and isinstance(row.label, str) for row in rows)
        assert [row.id["row"] for row in rows] == list(range(len(rows)))


def test_ids_can_be_written_as_json(case: Case) -> None:
    json.dumps([dict(row.id) for row in case.source.read("train")], allow_nan=False)


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
    with pytest.raises(
        DatasetError, match="no split 'nowhere'; the splits there are: train, validation, test"
    ):
        list(case.source.read("nowhere"))
    with pytest.raises(DatasetError, match="no split 'nowhere'"):
        case.source.describe("nowhere")
