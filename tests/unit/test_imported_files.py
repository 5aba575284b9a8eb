"""Matrices of other programs are read as they were written, and hostile ones run nothing and fill nothing."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from fusionapp.adapters.imported.encoder import ImportedEncoder, hash_source, open_matrix
from fusionapp.domain.errors import UsageError

FLAT = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
DEEP = np.random.default_rng(1).normal(size=(10, 3, 4)).astype(np.float32)


def write_parquet(path: Path, matrix: NDArray[np.float32], fixed: bool = True) -> None:
    column = pa.array(matrix.reshape(-1))
    for length in reversed(matrix.shape[1:]):
        if fixed:
            column = pa.FixedSizeListArray.from_arrays(column, length)
        else:
            column = pa.ListArray.from_arrays(np.arange(0, len(column) + 1, length, dtype=np.int32), column)
    pq.write_table(pa.table({"id": list(range(len(matrix))), "embedding": column}), path, row_group_size=4)


def write_dataset(path: Path, matrix: NDArray[np.float32]) -> None:
    from datasets import Dataset

    Dataset.from_dict({"embedding": matrix.tolist()}).save_to_disk(str(path), num_shards=2)


def write_parts(path: Path, matrix: NDArray[np.float32]) -> None:
    path.mkdir()
    write_parquet(path / "part-0.parquet", matrix[:6])
    write_parquet(path / "part-1.parquet", matrix[6:])


WRITERS: dict[str, Callable[[Path, NDArray[np.float32]], object]] = {
    "m.npy": np.save,
    "m.pt": lambda path, matrix: torch.save(torch.from_numpy(matrix), path),
    "m.safetensors": lambda path, matrix: save_file({"x": torch.from_numpy(matrix)}, path),
    "m.parquet": write_parquet,
    "lists.parquet": lambda path, matrix: write_parquet(path, matrix, fixed=False),
    "parts": write_parts,
    "saved": write_dataset,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("matrix", [FLAT, DEEP])
def test_any_ranges_of_rows_come_back_as_they_were_written(
    tmp_path: Path, name: str, matrix: NDArray[np.float32]
) -> None:
    WRITERS[name](tmp_path / name, matrix)
    found = open_matrix(tmp_path / name)
    expected = matrix.reshape(10, -1, 4)
    assert (found.rows, found.layers, found.dim) == expected.shape
    for ranges in ([(0, 10)], [(0, 3), (3, 9), (9, 10)], [(2, 3), (7, 10)], [(5, 6)]):
        blocks = list(found.read(ranges))
        for (start, stop), block in zip(ranges, blocks, strict=True):
            assert block.dtype == np.float32
            np.testing.assert_array_equal(block, expected[start:stop])


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4"])
def test_other_float_types_of_numpy_become_float32(tmp_path: Path, kind: Any) -> None:
    np.save(tmp_path / "m.npy", FLAT.astype(kind))
    (found,) = open_matrix(tmp_path / "m.npy").read([(0, 10)])
    np.testing.assert_array_equal(found[:, 0], FLAT.astype(kind).astype(np.float32))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_other_float_types_of_torch_become_float32(tmp_path: Path, kind: torch.dtype, suffix: str) -> None:
    matrix = torch.from_numpy(FLAT).to(kind)
    path = tmp_path / f"m.{suffix}"
    if suffix == "pt":
        torch.save(matrix, path)
    else:
        save_file({"x": matrix}, path)
    (found,) = open_matrix(path).read([(0, 10)])
    np.testing.assert_array_equal(found[:, 0], matrix.float().numpy())


def test_a_number_that_float32_cannot_hold_becomes_infinite_and_not_something_else(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.full((2, 2), 1e300))
    (found,) = open_matrix(tmp_path / "m.npy").read([(0, 2)])
    assert np.isinf(found).all()


def test_a_tensor_may_be_a_parameter_transposed_or_the_only_one_of_a_dict(tmp_path: Path) -> None:
    torch.save(
        {"embeddings": torch.nn.Parameter(torch.from_numpy(FLAT.T.copy()).T), "epoch": 3}, tmp_path / "m.pt"
    )
    (found,) = open_matrix(tmp_path / "m.pt").read([(0, 10)])
    np.testing.assert_array_equal(found[:, 0], FLAT)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def npz(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), x=FLAT)
    path.with_suffix(".npz").rename(path)


def compressed(path: Path) -> None:
    """A .pt whose pickle grows a thousandfold."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\x80\x02" + b"N0" * 5_000_000 + b"N.")
        archive.writestr("m/version", b"3\n")


def repeated(path: Path) -> None:
    torch.save(torch.zeros(1).expand(10, 10**5), path)


def halved(path: Path) -> None:
    """Whole when written, half of it there."""
    WRITERS[path.name](path, np.zeros((1000, 64), dtype=np.float32))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def huge_header(path: Path) -> None:
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 1024)}
        np.lib.format.write_array_header_1_0(file, header)


def huge_tensor(path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [10**9, 1024], "data_offsets": [0, 4096 * 10**9]}})
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())


HOSTILE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "pickle in .pt": ("m.pt", lambda p: torch.save(Bomb(p.parent / "ran"), p), "holds more than tensors"),
    "a pickle called .pt": (
        "m.pt",
        lambda p: p.write_bytes(pickle.dumps(Bomb(p.parent / "ran"))),
        "not a whole",
    ),
    "a dict with an object": (
        "m.pt",
        lambda p: torch.save({"x": Bomb(p.parent / "ran")}, p),
        "more than tensors",
    ),
    "objects in .npy": (
        "m.npy",
        lambda p: np.save(p, np.array([[Bomb(p.parent / "ran")]], dtype=object), allow_pickle=True),
        "nothing is unpickled",
    ),
    "an archive called .npy": ("m.npy", npz, "not a whole .npy"),
    "a pickle called .npy": (
        "m.npy",
        lambda p: p.write_bytes(pickle.dumps(Bomb(p.parent / "ran"))),
        "not a whole",
    ),
    "a compressed .pt": ("m.pt", compressed, "is compressed"),
    "a tensor that repeats one number": ("m.pt", repeated, "holds fewer numbers than its shape"),
    "a header of terabytes in .npy": ("m.npy", huge_header, "not a whole .npy"),
    "a header of terabytes in .safetensors": ("m.safetensors", huge_tensor, "not a whole .safetensors"),
    "half a .pt": ("m.pt", halved, "not a whole"),
    "half a .npy": ("m.npy", halved, "not a whole .npy"),
    "half a .safetensors": ("m.safetensors", halved, "not a whole .safetensors"),
    "half a .parquet": ("m.parquet", halved, "cannot be read"),
    "an empty .pt": ("m.pt", Path.touch, "not a whole"),
    "an empty .npy": ("m.npy", Path.touch, "not a whole"),
    "an empty .safetensors": ("m.safetensors", Path.touch, "not a whole"),
    "an empty .parquet": ("m.parquet", Path.touch, "cannot be read"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_in_it_runs(tmp_path: Path, case: str) -> None:
    name, write, message = HOSTILE[case]
    write(tmp_path / name)
    with pytest.raises(UsageError, match=message) as caught:
        open_matrix(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_no_message_advises_to_unpickle(tmp_path: Path) -> None:
    torch.save(Bomb(tmp_path / "ran"), tmp_path / "m.pt")
    with pytest.raises(UsageError) as caught:
        open_matrix(tmp_path / "m.pt")
    assert "weights_only" not in str(caught.value)


UNFIT: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "one axis": ("m.npy", lambda p: np.save(p, FLAT[0]), "1 axes"),
    "four axes": ("m.pt", lambda p: torch.save(torch.zeros(2, 2, 2, 2), p), "4 axes"),
    "no dimension": ("m.npy", lambda p: np.save(p, np.zeros((3, 0), np.float32)), "are no embeddings"),
    "integers": ("m.npy", lambda p: np.save(p, np.zeros((3, 2), np.int64)), "int64 are no floating"),
    "integers in .pt": (
        "m.pt",
        lambda p: torch.save(torch.zeros(3, 2, dtype=torch.int32), p),
        "int32 are no",
    ),
    "integers in .safetensors": (
        "m.safetensors",
        lambda p: save_file({"x": torch.zeros(3, 2, dtype=torch.int32)}, p),
        "I32 are no floating",
    ),
    "a list": ("m.pt", lambda p: torch.save([1, 2], p), "expected one dense tensor, got list"),
    "two tensors": (
        "m.safetensors",
        lambda p: save_file({"a": torch.zeros(3, 2), "b": torch.zeros(3, 2)}, p),
        "got a, b",
    ),
    "a sparse tensor": (
        "m.pt",
        lambda p: torch.save(torch.eye(3).to_sparse(), p),
        "expected one dense tensor",
    ),
    "no column": (
        "m.parquet",
        lambda p: pq.write_table(pa.table({"id": [1]}), p),
        "expected a column 'embedding'",
    ),
    "no rows": ("m.parquet", lambda p: write_parquet(p, FLAT[:0]), "has no rows"),
    "a suffix": ("m.hdf5", Path.touch, "are imported from .npy, .pt"),
    "a directory": ("m", Path.mkdir, "holds neither .parquet"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_file_that_holds_no_matrix_is_refused_with_the_way_out(tmp_path: Path, case: str) -> None:
    name, write, message = UNFIT[case]
    write(tmp_path / name)
    with pytest.raises(UsageError, match=message):
        open_matrix(tmp_path / name)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [3.0]], "rows of different lengths"),
        ([[1.0, 2.0], None], "is missing"),
        ([[1.0, 2.0], [3.0, None]], "is missing"),
        ([[1, 2], [3, 4]], "int64 are no floating-point numbers"),
        ([[[1.0, 2.0]], [[3.0]]], "rows of different lengths"),
    ],
)
def test_a_column_that_is_no_matrix_is_refused(tmp_path: Path, rows: Any, message: str) -> None:
    pq.write_table(pa.table({"embedding": rows}), tmp_path / "m.parquet")
    matrix = open_matrix(tmp_path / "m.parquet")
    with pytest.raises(UsageError, match=message):
        list(matrix.read([(0, 2)]))


def test_several_splits_saved_together_are_not_one_matrix(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_dict({"embedding": FLAT.tolist()})}).save_to_disk(
        str(tmp_path / "all")
    )
    with pytest.raises(UsageError, match="holds several splits; name the directory of one"):
        open_matrix(tmp_path / "all")


def test_another_file_or_model_is_another_identity(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FLAT)
    np.save(tmp_path / "b.npy", FLAT + 1)
    encoders = [
        ImportedEncoder({"train": str(tmp_path / "a.npy")}, "gemma"),
        ImportedEncoder({"train": str(tmp_path / "b.npy")}, "gemma"),
        ImportedEncoder({"train": str(tmp_path / "a.npy")}, "e5"),
    ]
    assert len({json.dumps(one.identity) for one in encoders}) == 3
    assert len({json.dumps(one.of_split("train").identity) for one in encoders}) == 3


def test_a_file_that_is_written_anew_is_hashed_anew(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FLAT)
    before = hash_source(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", FLAT + 1)
    assert hash_source(tmp_path / "a.npy") != before


def test_a_directory_is_known_by_all_its_files(tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", FLAT)
    before = hash_source(tmp_path / "parts")
    write_parquet(tmp_path / "parts" / "part-1.parquet", FLAT[6:] + 1)
    assert hash_source(tmp_path / "parts") != before


def test_files_of_different_shapes_are_not_one_encoder(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FLAT)
    np.save(tmp_path / "b.npy", DEEP)
    encoder = ImportedEncoder({"train": str(tmp_path / "a.npy"), "test": str(tmp_path / "b.npy")})
    with pytest.raises(UsageError, match="imported rows of different shapes"):
        _ = encoder.shape


def test_a_split_without_a_file_is_named_with_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no matrix is named for split 'test' beside train"):
        ImportedEncoder({"train": "a.npy"}).of_split("test")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"nowhere.npy: cannot be read"):
        _ = ImportedEncoder({"train": "nowhere.npy"}).identity


def test_new_texts_are_refused_with_the_way_out() -> None:
    encoder = ImportedEncoder({"train": "a.npy"}, "gemma")
    with pytest.raises(UsageError, match=r"of gemma were imported.*name the model itself"):
        encoder.encode(["a"], encoder.plan(1))
    assert list(encoder.count_tokens(["a", "b"])) == [0, 0]
