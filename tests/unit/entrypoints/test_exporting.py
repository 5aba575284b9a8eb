"""What exported files are called, in which formats, and when they are left as they stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fusionapp.adapters.exports.embedding_files import EmbeddingFileSet
from fusionapp.adapters.exports.kept_files import KeptEmbeddingFiles
from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.application.ports.embedding_file import EmbeddingRows
from fusionapp.domain.embeddings import Embeddings, EmbeddingShape
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.structure import structure
from fusionapp.entrypoints.export_formats import check_formats, fitting_formats
from fusionapp.entrypoints.exporting import earlier_exports, file_names

VECTORS = np.arange(6, dtype=np.float32).reshape(3, 1, 2)


def test_a_file_is_called_as_the_model_is_at_its_hub_or_in_its_directory() -> None:
    names = file_names(
        {
            "bge": {"adapter": "huggingface", "model": "bge-large"},
            "hub": {"adapter": "huggingface", "model": "someone/a-model"},
            "own": {"adapter": "huggingface", "model": "models/e5 tiny/"},
            "served": {"adapter": "openai", "model": "text-embedding-3-small"},
            "lexical": {"adapter": "lexical"},
        }
    )
    assert list(names.values()) == [
        "bge-large-en-v1.5",
        "a-model",
        "e5-tiny",
        "text-embedding-3-small",
        "lexical",
    ]


def test_models_of_one_name_get_files_of_their_own() -> None:
    models = ("one/model", "two/model", "three/Model")
    tables = {f"encoder{place}": {"model": model} for place, model in enumerate(models)}
    assert list(file_names(tables).values()) == ["model", "model-2", "Model-3"]


@pytest.mark.parametrize("model", ["embeddings", "models/Experiment", "exports"])
def test_a_models_metadata_does_not_take_the_place_of_the_runs_own_files(model: str) -> None:
    (name,) = file_names({"a": {"model": model}}).values()
    assert name.lower() == f"{Path(model).name.lower()}-2"


@pytest.mark.parametrize(
    ("content", "known"),
    [("[1]", {}), ("no JSON", {}), ('{"a": 3, "b": {"basis": "x"}}', {"b": {"basis": "x"}})],
)
def test_a_record_of_exports_that_is_none_counts_for_nothing(
    tmp_path: Path, content: str, known: dict[str, Any]
) -> None:
    (tmp_path / "exports.json").write_text(content, encoding="utf-8")

    assert earlier_exports(RunDirectory(tmp_path)) == known


def test_a_dense_encoder_is_written_in_each_dense_format_once() -> None:
    assert fitting_formats(["npy", "npz", "jsonl", "npy"], False, "a") == ["npy", "jsonl"]


def test_a_sparse_encoder_is_written_as_npz_whatever_is_asked_for() -> None:
    assert fitting_formats(["npy", "jsonl"], True, "lexical") == ["npz"]


def test_an_encoder_without_a_format_is_refused_before_anything_is_encoded() -> None:
    experiment = structure({"dataset": {"texts": "a.txt"}, "encoders": {"mini": {"model": "minilm"}}})
    with pytest.raises(
        UsageError, match="--format npz: holds sparse embeddings, and those of mini are dense"
    ):
        check_formats(["npz"], experiment)
    check_formats([], experiment)


def rows(vectors: NDArray[np.float32] = VECTORS) -> EmbeddingRows:
    def blocks() -> Iterator[tuple[NDArray[np.int64], Embeddings]]:
        yield np.arange(len(vectors)), vectors

    def ids(numbers: NDArray[np.int64]) -> list[dict[str, Any]]:
        return [{"paper": number} for number in numbers.tolist()]

    return EmbeddingRows(len(vectors), EmbeddingShape(1, 2, False), blocks, ids)


def keep(
    directory: Path, record: Any = None, formats: tuple[str, ...] = ("npy", "jsonl"), **more: Any
) -> Any:
    files = KeptEmbeddingFiles(EmbeddingFileSet(formats), record)
    files.write(str(directory / "model-v1.5"), rows(), {"model_name": "mini", "rows": 3, **more})
    return files


def test_several_formats_share_metadata_and_ids(tmp_path: Path) -> None:
    keep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "model-v1.5.npy",
        "model-v1.5.jsonl",
        "model-v1.5.json",
        "model-v1.5.ids.jsonl",
    }
    np.testing.assert_array_equal(np.load(tmp_path / "model-v1.5.npy"), VECTORS[:, 0])


def test_files_that_stand_as_they_were_written_are_left(tmp_path: Path) -> None:
    record = keep(tmp_path).record
    assert not keep(tmp_path, record).written
    assert not keep(tmp_path, record, versions={"torch": "9"}).written


@pytest.mark.parametrize("name", ["model-v1.5.npy", "model-v1.5.ids.jsonl", "model-v1.5.json"])
def test_a_missing_file_is_written_again(tmp_path: Path, name: str) -> None:
    record = keep(tmp_path).record
    (tmp_path / name).unlink()
    assert keep(tmp_path, record).written
    assert (tmp_path / name).is_file()


def test_a_changed_file_is_written_again(tmp_path: Path) -> None:
    record, path = keep(tmp_path).record, tmp_path / "model-v1.5.npy"
    before = path.read_bytes()
    path.write_bytes(b"x" + before[1:] + b"x")
    assert keep(tmp_path, record).written
    assert path.read_bytes() == before


@pytest.mark.parametrize("how", [{"formats": ("npy",)}, {"ids_sha256": "other"}])
def test_other_formats_or_embeddings_are_written(tmp_path: Path, how: dict[str, Any]) -> None:
    record = keep(tmp_path).record
    assert keep(tmp_path, record, **how).written


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    torn = tmp_path / ".model-v1.5.npy.0a1b2c3d.tmp"
    other = tmp_path / ".another.npy.0a1b2c3d.tmp"
    for path in (torn, other):
        path.write_bytes(b"torn")
    keep(tmp_path)
    assert not torn.exists()
    assert other.exists()
