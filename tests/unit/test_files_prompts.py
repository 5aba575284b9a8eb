from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from fusionapp.adapters.files import read_prompts
from fusionapp.domain.errors import DatasetError


def test_a_dash_is_lines_of_the_stream_as_they_come() -> None:
    prompts = read_prompts("-", stream=io.BytesIO("one\r\n\ntwo é\n\xff".encode() + b"\xff"))
    assert [next(prompts), next(prompts), next(prompts)] == ["one", "", "two é"]
    with pytest.raises(DatasetError, match=r"standard input, row 3 .*line 4: byte 0xff"):
        next(prompts)


def test_a_text_file_is_a_text_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\ntwo, three")
    assert list(read_prompts(tmp_path / "a.txt")) == ["one", "two, three"]


def test_a_gzipped_text_file_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one\n"))
    assert list(read_prompts(tmp_path / "a.txt.gz")) == ["one"]


def test_a_table_gives_its_text_columns_without_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("title,body\nT,B\n", encoding="utf-8")
    assert list(read_prompts(tmp_path / "a.csv", "body")) == ["B"]
    assert list(read_prompts(tmp_path / "a.csv", ["title", "body"], "{title}: {body}")) == ["T: B"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        list(read_prompts(tmp_path / "a.txt"))
