from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionapp.adapters.files import FileDatasetSource
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.examples import Example

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def read(path: Path, content: str | bytes, label: str | None = "label") -> list[Example]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(FileDatasetSource({"train": path}, label=label).read("train"))


def read_table(path: Path, columns: Mapping[str, object]) -> list[Example]:
    pq.write_table(pa.table(dict(columns)), path)
    return list(FileDatasetSource({"train": path}).read("train"))


def test_a_quoted_cell_holds_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    (example,) = read(tmp_path / "a.csv", 'text,label\r\n"a, ""b""\nc",1\r\n')
    assert example.text == 'a, "b"\nc'


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", b"\xef\xbb\xbftext,label\na,1\n")[0].label == "1"
    assert read(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "a", "label": 1}\n')[0].label == "1"


def test_a_cell_may_be_longer_than_csv_allows_by_default(tmp_path: Path) -> None:
    assert len(read(tmp_path / "a.csv", "text,label\n" + "a" * 200_000 + ",1\n")[0].text) == 200_000


def test_a_tab_separates_tsv(tmp_path: Path) -> None:
    assert read(tmp_path / "a.tsv", "text\tlabel\na, b\t1\n")[0].text == "a, b"


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", "text,label\na,1\n\nb,2\n")
    assert [row.id for row in rows] == [{"row": 0}, {"row": 1}]


def test_an_empty_cell_is_blank_text(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", "text,label\n,1\n")[0].text == ""


def test_a_line_separator_inside_json_does_not_end_the_line(tmp_path: Path) -> None:
    assert read(tmp_path / "a.jsonl", '{"text": "a\u2028b", "label": "x"}')[0].text == "a\u2028b"


def test_a_header_alone_is_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", "text,label\n") == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "txt,label\na,1\n", "line 1, column 'text': no such column; .*'txt', 'label'"),
        (
            "a.csv",
            "text,label\na,1\nb\n",
            r"row 1 \(counted from 0\), line 3: 1 cells where the header has 2",
        ),
        ("a.csv", "text,label\na,b,1\n", r"row 0 .*line 2: 3 cells"),
        ("a.csv", 'text,label\na,1\n"b,2\nc,3\n', r"row 1 .*line 3: malformed quoting"),
        ("a.csv", 'text,label\n"a"b,1\n', r"row 0 .*line 2: malformed quoting"),
        ("a.csv", '"text,label\n', r"a\.csv, line 1: malformed quoting"),
        ("a.csv", 'text,label\n"a\n\nb",1\nc,\n', r"row 1 .*line 5, column 'label': the label is missing"),
        ("a.csv", b"text,label\na,1\nb\xe9,2\n", r"row 1 .*line 3, column 'text': byte 0xe9 is not UTF-8"),
        ("a.csv", b"t\xe9xt,label\na,1\n", r"line 1: byte 0xe9"),
        ("a.csv", b"text,label\na,1,\xff\n", r"line 2: byte 0xff"),
        ("a.csv", b"\xff\xfet\x00", r"byte 0xff .*iconv"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": ', r"row 1 .*line 2: not JSON"),
        ("a.jsonl", '[{"text": "a", "label": 1}]\n', r"expected one object a line, got list; jq"),
        ("a.json", '[\n{"text": "a", "label": 1}\n]\n', r"not JSON .*jq"),
        ("a.jsonl", "[" * 100_000, "not JSON"),
        ("a.jsonl", '{"text": "a"}\n', "column 'label': no such column; .*'text'"),
        ("a.jsonl", '{"text": null, "label": 1}\n', "column 'text': the text is missing"),
        ("a.jsonl", '{"text": 5, "label": 1}\n', "column 'text': expected text, got int 5"),
        ("a.jsonl", '{"text": "a", "label": NaN}\n', "column 'label': the label is missing"),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}\n', "lone surrogate"),
        ("a.jsonl", b'{"text": "\xe9", "label": 1}\n', "column 'text': byte 0xe9"),
        ("a.jsonl", b"\xe9\n", "line 1: byte 0xe9"),
        ("a.parquet", b"PAR1", "not a Parquet file"),
        ("a.doc", "a\n", "unknown kind of file; known are .csv"),
        ("a.txt", "a\n", "column 'label': a .txt file holds a text a line and no other column"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    with pytest.raises(DatasetError, match=said) as caught:
        read(tmp_path / name, content)
    assert name in str(caught.value)


def test_parquet_nulls_and_nans_are_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"row 1 .*column 'text'"):
        read_table(tmp_path / "a.parquet", {"text": ["a", None], "label": [1.0, 2.0]})
    with pytest.raises(DatasetError, match=r"row 1 .*column 'label'"):
        read_table(tmp_path / "a.parquet", {"text": ["a", "b"], "label": [1.0, float("nan")]})


def test_a_parquet_string_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    bad = pa.array([b"a", b"\xe9"]).view(pa.string())
    with pytest.raises(DatasetError, match=r"row 1 .*column 'text': byte 0xe9"):
        read_table(tmp_path / "a.parquet", {"text": bad, "label": [1, 2]})


def test_parquet_labels_of_any_storage_print_alike(tmp_path: Path) -> None:
    labels = pa.array(["x", "y"]).dictionary_encode()
    assert [e.label for e in read_table(tmp_path / "a.parquet", {"text": ["a", "b"], "label": labels})] == [
        "x",
        "y",
    ]


def test_rows_are_counted_through_all_batches_of_a_parquet_file(tmp_path: Path) -> None:
    examples = read_table(tmp_path / "a.parquet", {"text": ["a"] * 2500, "label": list(range(2500))})
    assert [example.id["row"] for example in examples] == list(range(2500))


def test_a_truncated_gzip_is_an_error_not_a_short_file(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": str(i), "label": 1}) + "\n" for i in range(5000))
    with pytest.raises(DatasetError, match=r"a\.jsonl\.gz: damaged gzip"):
        read(tmp_path / "a.jsonl.gz", gzip.compress(lines.encode())[:-200])


def test_a_file_that_is_no_gzip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="damaged gzip"):
        read(tmp_path / "a.csv.gz", "text,label\n")


def test_a_missing_file_names_the_working_directory(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file; relative paths start from"):
        list(FileDatasetSource({"train": tmp_path / "a.csv"}).read("train"))


def test_a_directory_points_to_the_source_that_reads_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'is a directory; .*dataset\.source = "huggingface"'):
        list(FileDatasetSource({"train": tmp_path}).read("train"))


def test_several_files_are_one_split_with_one_count_of_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "b", "label": 2}\n', encoding="utf-8")
    source = FileDatasetSource({"train": [tmp_path / "a.csv", str(tmp_path / "b.jsonl")]})
    assert list(source.read("train")) == [Example("a", "1", {"row": 0}), Example("b", "2", {"row": 1})]


def test_the_limit_stops_before_a_later_fault(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\nb\n", encoding="utf-8")
    assert len(list(FileDatasetSource({"train": tmp_path / "a.csv"}, limit=1).read("train"))) == 1


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match=r"dataset\.limit"):
        FileDatasetSource({}, limit=limit)


def test_texts_without_labels_are_read_as_such(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", "text\na\n", label=None)[0].label is None


def test_reading_is_a_stream(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\nb\n", encoding="utf-8")
    rows = FileDatasetSource({"train": tmp_path / "a.csv"}).read("train")
    assert next(rows).text == "a"


@pytest.mark.skipif(
    not (SHARED / "goemotions").is_dir(), reason="no shared/data/goemotions beside the repository"
)
def test_goemotions_is_read_whole_with_its_class_names() -> None:
    folder = SHARED / "goemotions"
    files = {"train": folder / "train.csv", "test": folder / "test.csv", "validation": folder / "valid.csv"}
    source = FileDatasetSource(files, class_names=folder / "label2idx.txt")
    examples = {split: list(source.read(split)) for split in source.splits()}
    assert {split: len(rows) for split, rows in examples.items()} == {
        "train": 23_485,
        "validation": 2_956,
        "test": 2_984,
    }
    assert len({row.label for row in examples["train"]}) == 27
    assert examples["train"][0].label == "anger"


@pytest.mark.skipif(
    not (SHARED / "reuters52").is_dir(), reason="no shared/data/reuters52 beside the repository"
)
def test_reuters_is_read_whole() -> None:
    folder = SHARED / "reuters52"
    source = FileDatasetSource(
        {"train": folder / "train.jsonl.gz", "test": folder / "test.jsonl.gz"}, id=["id"]
    )
    train, test = (list(source.read(split)) for split in ("train", "test"))
    assert (len(train), len(test)) == (6_532, 2_568)
    assert train[0].label == "cocoa"
    assert train[0].id == {"id": 1}
