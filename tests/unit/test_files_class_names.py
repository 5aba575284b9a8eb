from __future__ import annotations

from pathlib import Path

import pytest

from fusionapp.adapters.files import read_class_names
from fusionapp.domain.errors import DatasetError


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("a.txt", "admiration 0\r\nvery sad 1\r\n", {0: "admiration", 1: "very sad"}),
        ("a.txt", "0\tadmiration\n1\tjoy\n\n", {0: "admiration", 1: "joy"}),
        ("a.csv", "joy,1\nanger,0\n", {1: "joy", 0: "anger"}),
        ("a.txt", "\ufeffanger\nvery sad\n", ["anger", "very sad"]),
        ("a.json", '["anger", "joy"]', ["anger", "joy"]),
        ("a.json", '{"anger": 0}', {"anger": 0}),
    ],
)
def test_names_are_read_in_every_usual_layout(
    tmp_path: Path, name: str, content: str, names: dict[int, str] | list[str]
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_class_names(tmp_path / name) == names


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "empty"),
        ("a.txt", b"anger 0\njoy\n", "number all or none"),
        ("a.txt", b"anger 0\njoy 0\n", "same number"),
        ("a.txt", b"anger 0\njo\xff 1\n", "line 2: byte 0xff"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"3", "expected a list"),
    ],
)
def test_a_file_without_clear_names_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        read_class_names(tmp_path / name)
