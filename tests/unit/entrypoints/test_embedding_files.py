"""Exported embeddings are read back by the libraries that others use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_array, load_npz

from fusionapp.adapters.exports.embedding_files import FormattedEmbeddingFile
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import UsageError

ONE = np.arange(6, dtype=np.float32).reshape(3, 1, 2)
SEVERAL = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
SPARSE = csr_array(np.array([[0, 1, 0], [2, 0, 0], [0, 0, 0]], dtype=np.float32))
IDS: list[dict[str, Any]] = [{"paper": "a", "part": 1}, {"paper": "b", "part": 2}, {"paper": "ü", "part": 3}]


def write(path: Path, form: str, embeddings: Embeddings) -> dict[str, Any]:
    about = {"model_name": "mini", "rows": 3}
    written = FormattedEmbeddingFile(form).write(str(path), embeddings, IDS, about)
    assert written == [str(path), str(path.with_suffix(".json"))]
    described: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert described["format"] == form
    assert described["file"] == path.name
    assert described["model_name"] == "mini"
    return described


@pytest.mark.parametrize(("embeddings", "shape"), [(ONE, (3, 2)), (SEVERAL, (3, 2, 2))])
def test_npy_has_no_layer_axis_for_a_single_layer(
    tmp_path: Path, embeddings: Embeddings, shape: tuple[int, ...]
) -> None:
    described = write(tmp_path / "new" / "e.npy", "npy", embeddings)
    found = np.load(tmp_path / "new" / "e.npy")
    assert found.shape == shape
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), np.asarray(embeddings).ravel())
    assert described["ids"] == IDS


def test_npz_is_a_matrix_of_scipy(tmp_path: Path) -> None:
    described = write(tmp_path / "e.npz", "npz", SPARSE)
    found = load_npz(tmp_path / "e.npz")
    assert found.format == "csr"
    np.testing.assert_array_equal(found.toarray(), SPARSE.toarray())
    assert described["ids"] == IDS


@pytest.mark.parametrize("embeddings", [ONE, SEVERAL])
def test_each_line_of_jsonl_carries_its_ids(tmp_path: Path, embeddings: Any) -> None:
    write(tmp_path / "e.jsonl", "jsonl", embeddings)
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = embeddings[:, 0] if embeddings.shape[1] == 1 else embeddings
    np.testing.assert_array_equal([line.pop("embedding") for line in lines], expected)
    assert lines == [{**one, "model": "mini"} for one in IDS]


@pytest.mark.parametrize("embeddings", [ONE, SEVERAL])
def test_parquet_has_a_column_for_each_id(tmp_path: Path, embeddings: Any) -> None:
    write(tmp_path / "e.parquet", "parquet", embeddings)
    table = pq.read_table(tmp_path / "e.parquet")
    expected = embeddings[:, 0] if embeddings.shape[1] == 1 else embeddings
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), dtype=np.float32), expected)
    assert table.drop(["embedding"]).to_pylist() == IDS


@pytest.mark.parametrize(
    ("form", "embeddings", "message"),
    [
        ("npy", SPARSE, "does not hold sparse embeddings; use npz"),
        ("jsonl", SPARSE, "use npz"),
        ("npz", ONE, "does not hold dense embeddings; use npy"),
        ("hdf5", ONE, "'hdf5' is not one of npy, npz, jsonl, parquet"),
    ],
)
def test_a_format_that_cannot_hold_the_embeddings_is_refused(
    tmp_path: Path, form: str, embeddings: Embeddings, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        FormattedEmbeddingFile(form).write(str(tmp_path / "e.bin"), embeddings, IDS, {})
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_the_metadata_would_overwrite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"another suffix than \.json"):
        FormattedEmbeddingFile("jsonl").write(str(tmp_path / "e.json"), ONE, IDS, {})


def test_a_place_that_cannot_be_written_is_a_usage_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="taken: cannot be written"):
        FormattedEmbeddingFile("npy").write(str(tmp_path / "taken"), ONE, IDS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
