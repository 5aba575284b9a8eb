"""Exported embeddings are read back by the libraries that others use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from scipy.sparse import csr_array, load_npz

from fusionapp.adapters.exports.embedding_files import FormattedEmbeddingFile
from fusionapp.application.ports.embedding_file import EmbeddingRows
from fusionapp.domain.embeddings import Embeddings, EmbeddingShape
from fusionapp.domain.errors import CorruptArtifactError, ResourceError, UsageError

ONE = np.arange(6, dtype=np.float32).reshape(3, 1, 2)
SEVERAL = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
SPARSE = csr_array(np.array([[0, 1, 0], [2, 0, 0], [0, 0, 0]], dtype=np.float32))
IDS: list[dict[str, Any]] = [{"paper": "a", "part": 1}, {"paper": "b", "part": 2}, {"paper": "ü", "part": 3}]
INDEX = np.array([0, 2, 5])
"""Rows 1, 3 and 4 were quarantined."""


def rows_of(embeddings: Embeddings, ids: list[dict[str, Any]] | None = IDS) -> EmbeddingRows:
    """Two blocks: two rows and one."""
    sparse = isinstance(embeddings, csr_array)
    layers = 1 if sparse else embeddings.shape[1]

    def blocks() -> Iterator[tuple[NDArray[np.int64], Embeddings]]:
        yield INDEX[:2], embeddings[:2]
        yield INDEX[2:], embeddings[2:]

    def named(numbers: NDArray[np.int64]) -> list[dict[str, Any]]:
        assert ids is not None
        return [ids[INDEX.tolist().index(number)] for number in numbers]

    shape = EmbeddingShape(layers, embeddings.shape[-1], sparse)
    return EmbeddingRows(embeddings.shape[0], shape, blocks, None if ids is None else named)


def write(path: Path, form: str, rows: EmbeddingRows) -> dict[str, Any]:
    """Write, and give back the metadata."""
    FormattedEmbeddingFile(form).write(str(path), rows, {"model_name": "mini", "rows": 3})
    described: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return described


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_safetensors(path: Path) -> NDArray[np.float32]:
    with safe_open(path, framework="np") as file:
        assert list(file.keys()) == ["embeddings"]
        found: NDArray[np.float32] = file.get_tensor("embeddings")
    return found


READERS: dict[str, Callable[[Path], NDArray[np.float32]]] = {
    "npy": np.load,
    "pt": lambda path: torch.load(path, weights_only=True).numpy(),
    "safetensors": read_safetensors,
}


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize(("embeddings", "shape"), [(ONE, (3, 2)), (SEVERAL, (3, 2, 2))])
def test_a_matrix_has_no_layer_axis_for_a_single_layer(
    tmp_path: Path, form: str, embeddings: Any, shape: tuple[int, ...]
) -> None:
    write(tmp_path / "new" / f"e.{form}", form, rows_of(embeddings))
    found = READERS[form](tmp_path / "new" / f"e.{form}")
    assert found.shape == shape
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), embeddings.ravel())


@pytest.mark.parametrize("form", READERS)
def test_a_matrix_may_have_no_rows(tmp_path: Path, form: str) -> None:
    none = EmbeddingRows(0, EmbeddingShape(1, 4), lambda: iter(()))
    write(tmp_path / f"e.{form}", form, none)
    assert READERS[form](tmp_path / f"e.{form}").shape == (0, 4)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_records_may_be_none(tmp_path: Path, form: str) -> None:
    none = EmbeddingRows(0, EmbeddingShape(1, 4), lambda: iter(()))
    write(tmp_path / f"e.{form}", form, none)
    assert (tmp_path / f"e.{form}").exists()


def test_npz_is_a_matrix_of_scipy(tmp_path: Path) -> None:
    write(tmp_path / "e.npz", "npz", rows_of(SPARSE))
    found = load_npz(tmp_path / "e.npz")
    assert isinstance(found, csr_array)
    np.testing.assert_array_equal(found.toarray(), SPARSE.toarray())


@pytest.mark.parametrize("form", ["npy", "pt", "safetensors", "npz"])
def test_the_ids_of_a_matrix_stand_in_a_file_beside_it(tmp_path: Path, form: str) -> None:
    described = write(tmp_path / f"e.{form}", form, rows_of(SPARSE if form == "npz" else ONE))
    assert described["ids"] == "e.ids.jsonl"
    assert lines(tmp_path / "e.ids.jsonl") == [
        {"index": index, **one} for index, one in zip(INDEX.tolist(), IDS, strict=True)
    ]


def test_a_dataset_without_id_columns_needs_no_file_of_ids(tmp_path: Path) -> None:
    described = write(tmp_path / "e.npy", "npy", rows_of(ONE, ids=None))
    assert described["ids"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.json", "e.npy"]


def test_the_metadata_names_the_file_and_its_format(tmp_path: Path) -> None:
    described = write(tmp_path / "e.pt", "pt", rows_of(ONE))
    assert (described["format"], described["file"], described["model_name"]) == ("pt", "e.pt", "mini")


def test_what_was_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "e.npy"
    written = FormattedEmbeddingFile("npy").write(str(path), rows_of(ONE), {})
    assert written == [str(path), str(tmp_path / "e.json"), str(tmp_path / "e.ids.jsonl")]


@pytest.mark.parametrize("embeddings", [ONE, SEVERAL])
def test_each_line_of_jsonl_carries_its_ids(tmp_path: Path, embeddings: Any) -> None:
    write(tmp_path / "e.jsonl", "jsonl", rows_of(embeddings))
    found = lines(tmp_path / "e.jsonl")
    expected = embeddings[:, 0] if embeddings.shape[1] == 1 else embeddings
    np.testing.assert_array_equal([line.pop("embedding") for line in found], expected)
    assert found == [
        {"index": index, **one, "model": "mini"} for index, one in zip(INDEX.tolist(), IDS, strict=True)
    ]


@pytest.mark.parametrize("embeddings", [ONE, SEVERAL])
def test_parquet_has_a_column_for_each_id(tmp_path: Path, embeddings: Any) -> None:
    write(tmp_path / "e.parquet", "parquet", rows_of(embeddings))
    table = pq.read_table(tmp_path / "e.parquet")
    expected = embeddings[:, 0] if embeddings.shape[1] == 1 else embeddings
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), dtype=np.float32), expected)
    assert table.drop(["embedding", "index", "model"]).to_pylist() == IDS
    assert table["index"].to_pylist() == INDEX.tolist()


def test_parquet_has_a_row_group_a_block(tmp_path: Path) -> None:
    write(tmp_path / "e.parquet", "parquet", rows_of(ONE))
    assert pq.ParquetFile(tmp_path / "e.parquet").metadata.num_row_groups == 2


@pytest.mark.parametrize("embeddings", [ONE, SEVERAL])
def test_datasets_reads_the_vectors_of_a_parquet_export(tmp_path: Path, embeddings: Any) -> None:
    from datasets import load_dataset

    write(tmp_path / "e.parquet", "parquet", rows_of(embeddings))
    found = load_dataset(
        "parquet", data_files=str(tmp_path / "e.parquet"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    expected = embeddings[:, 0] if embeddings.shape[1] == 1 else embeddings
    np.testing.assert_array_equal(found.with_format("numpy")["embedding"][:], expected)
    assert found["paper"][:] == ["a", "b", "ü"]


@pytest.mark.parametrize("parts", [(1, 2, "three"), ("one", "two", 3), ("one", 2, 3)])
def test_an_id_column_that_changes_its_type_is_refused_by_parquet(
    tmp_path: Path, parts: tuple[int | str, ...]
) -> None:
    ids: list[dict[str, Any]] = [{"part": part} for part in parts]
    with pytest.raises(UsageError, match="an id column changes its type"):
        write(tmp_path / "e.parquet", "parquet", rows_of(ONE, ids))


def test_an_id_column_named_as_a_column_of_the_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="id column 'model' has the name"):
        write(tmp_path / "e.jsonl", "jsonl", rows_of(ONE, [{"model": "T"}] * 3))


@pytest.mark.parametrize("form", ["npy", "npz", "jsonl", "parquet", "pt", "safetensors"])
def test_a_set_that_changes_while_it_is_read_leaves_no_file(tmp_path: Path, form: str) -> None:
    rows = attrs.evolve(rows_of(SPARSE if form == "npz" else ONE), rows=4)
    with pytest.raises(CorruptArtifactError, match="gave 3 rows and announced 4"):
        write(tmp_path / f"e.{form}", form, rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["npy", "npz", "jsonl", "parquet", "pt", "safetensors"])
def test_an_export_cut_short_leaves_the_old_file(tmp_path: Path, form: str) -> None:
    embeddings = SPARSE if form == "npz" else ONE
    (tmp_path / f"e.{form}").write_bytes(b"old")

    def blocks() -> Iterator[tuple[NDArray[np.int64], Embeddings]]:
        yield INDEX[:2], embeddings[:2]
        raise OSError(28, "No space left on device")

    with pytest.raises(ResourceError, match="No space left"):
        write(tmp_path / f"e.{form}", form, attrs.evolve(rows_of(embeddings), blocks=blocks))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    ("form", "embeddings", "message"),
    [
        ("npy", SPARSE, "does not hold sparse embeddings; use npz"),
        ("pt", SPARSE, "use npz"),
        ("npz", ONE, "does not hold dense embeddings; use npy"),
        ("hdf5", ONE, "'hdf5' is not one of npy, npz, jsonl, parquet, pt, safetensors"),
    ],
)
def test_a_format_that_cannot_hold_the_embeddings_is_refused(
    tmp_path: Path, form: str, embeddings: Embeddings, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        FormattedEmbeddingFile(form).write(str(tmp_path / "e.bin"), rows_of(embeddings), {})
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_the_metadata_would_overwrite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"another suffix than \.json"):
        FormattedEmbeddingFile("jsonl").write(str(tmp_path / "e.json"), rows_of(ONE), {})


@pytest.mark.parametrize("content", ['{"encoders": {}}', "[1, 2]", "not JSON"])
def test_another_programs_json_is_not_overwritten_by_the_metadata(tmp_path: Path, content: str) -> None:
    (tmp_path / "papers.json").write_text(content, encoding="utf-8")

    with pytest.raises(UsageError, match=r"papers\.json: is there already.*another name"):
        FormattedEmbeddingFile("npy").write(str(tmp_path / "papers.npy"), rows_of(ONE), {})

    assert (tmp_path / "papers.json").read_text(encoding="utf-8") == content
    assert not (tmp_path / "papers.npy").exists()


def test_an_export_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    write(tmp_path / "e.npy", "npy", rows_of(ONE))

    assert write(tmp_path / "e.pt", "pt", rows_of(ONE))["format"] == "pt"


def test_a_place_that_cannot_be_written_is_a_usage_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="taken: cannot be written"):
        FormattedEmbeddingFile("npy").write(str(tmp_path / "taken"), rows_of(ONE), {})
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
