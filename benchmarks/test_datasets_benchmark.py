"""How fast datasets are read: rows a second is 20,000 over the mean."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionapp.adapters.docstrings import DocstringSource
from fusionapp.adapters.files import FileDatasetSource

ROWS = 20_000
TEXT = "a sentence of some forty letters, é and all " * 4


def _csv(path: Path) -> None:
    path.write_text("text,label\n" + "".join(f'"{TEXT}",{i % 27}\n' for i in range(ROWS)), encoding="utf-8")


def _jsonl(path: Path) -> None:
    lines = (json.dumps({"text": TEXT, "label": i % 27}) + "\n" for i in range(ROWS))
    path.write_text("".join(lines), encoding="utf-8")


def _parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": [TEXT] * ROWS, "label": [i % 27 for i in range(ROWS)]}), path)


@pytest.mark.parametrize("write", [_csv, _jsonl, _parquet], ids=lambda write: write.__name__.strip("_"))
def test_reading_a_file(benchmark: Any, tmp_path: Path, write: Any) -> None:
    path = tmp_path / f"rows.{write.__name__.strip('_')}"
    write(path)
    source = FileDatasetSource({"train": path})
    benchmark.extra_info["rows"] = ROWS
    benchmark(lambda: deque(source.read("train"), maxlen=0))


def test_collecting_the_installed_docstrings(benchmark: Any) -> None:
    benchmark.pedantic(lambda: deque(DocstringSource().read("train"), maxlen=0), rounds=3)
