"""Files made to do harm are refused: nothing in them runs, and nothing outside the directory is touched."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_sets import DENSE, KEY, SPARSE, make_header, write_set

from fusionapp.adapters.filesystem.checksums import Checksum, difference, hash_file
from fusionapp.adapters.filesystem.sealed import scan, seal, unseal
from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.domain.embeddings import EmbeddingShape
from fusionapp.domain.errors import CorruptArtifactError, UsageError


def forge(directory: Path, name: str, content: bytes) -> None:
    """Replace a shard's file and its record, checksum and all, as an attacker can."""
    (directory / name).write_bytes(content)

    def change(record: dict[str, Any]) -> None:
        record["files"][name] = {"sha256": sha256(content).hexdigest(), "bytes": len(content)}

    rewrite(directory, change)


def rewrite(directory: Path, change: Callable[[dict[str, Any]], None], line: int = 1) -> None:
    """Change a line of the manifest and seal it again."""
    lines = (directory / "manifest.jsonl").read_bytes().splitlines()
    record = unseal(lines[line])
    change(record)
    lines[line] = seal(record).rstrip(b"\n")
    (directory / "manifest.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def assert_refused(root: Path, adapter: str, match: str) -> None:
    store = FileEmbeddingStore(root, adapter)
    assert store.verify(KEY)
    stored = store.read(KEY)
    assert stored is not None
    with pytest.raises(CorruptArtifactError, match=match):
        stored.load()


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def npy(array: np.ndarray[Any, Any]) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def one_shard(root: Path, adapter: str, shape: EmbeddingShape = DENSE) -> Path:
    return write_set(root, adapter, make_header(shape, rows=4))


def test_pickled_objects_in_a_shard_are_never_run(tmp_path: Path) -> None:
    directory = one_shard(tmp_path, "npy")
    mark = tmp_path / "pickle-ran"
    objects = np.empty((3, 2, 5), dtype=object)
    objects[:] = Bomb(mark)
    forge(directory, "shard-00000.npy", npy(objects))
    assert_refused(tmp_path, "npy", "npy")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists(), "the bomb works"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 2, 6), np.float32),
        np.zeros((3, 2, 5), np.float64),
        np.zeros((3, 2, 5), ">f4"),
        np.asfortranarray(np.ones((3, 2, 5), np.float32)),
        np.zeros(30, np.float32),
    ],
    ids=["dim", "float64", "big-endian", "fortran", "flat"],
)
def test_another_layout_than_recorded_is_refused(tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    forge(one_shard(tmp_path, "npy"), "shard-00000.npy", npy(array))
    assert_refused(tmp_path, "npy", "header")


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000000, 2, 5), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 5), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2, 5), }",
        b"__import__('os').abort()",
        b"(" * 900,
        b"\xff" * 50,
    ],
    ids=["huge", "no data", "negative", "code", "deep", "binary"],
)
def test_a_header_is_not_taken_at_its_word(tmp_path: Path, header: bytes) -> None:
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    forge(one_shard(tmp_path, "npy"), "shard-00000.npy", content)
    assert_refused(tmp_path, "npy", r"shard-00000\.npy")


def test_a_sparse_index_that_points_outside_is_refused(tmp_path: Path) -> None:
    directory = one_shard(tmp_path, "npy", SPARSE)
    indices = np.load(directory / "shard-00000.indices.npy")
    indices[3] = 2**30
    forge(directory, "shard-00000.indices.npy", npy(indices))
    assert_refused(tmp_path, "npy", "CSR")


def test_sparse_rows_that_run_backwards_are_refused(tmp_path: Path) -> None:
    directory = one_shard(tmp_path, "npy", SPARSE)
    indptr = np.load(directory / "shard-00000.indptr.npy")
    indptr[1] = -5
    forge(directory, "shard-00000.indptr.npy", npy(indptr))
    assert_refused(tmp_path, "npy", "CSR")


def test_a_compressed_parquet_bomb_is_not_unpacked(tmp_path: Path) -> None:
    directory = one_shard(tmp_path, "parquet")
    zeros = pa.table({"row": pa.array(np.zeros(5_000_000, np.int64))})
    sink = BytesIO()
    pq.write_table(zeros, sink, compression="zstd")
    assert len(sink.getvalue()) < 100_000
    forge(directory, "shard-00000.parquet", sink.getvalue())
    assert_refused(tmp_path, "parquet", "compressed")


def test_parquet_of_other_columns_is_refused(tmp_path: Path) -> None:
    directory = one_shard(tmp_path, "parquet")
    sink = BytesIO()
    table = pa.table({"row": pa.array([0, 2, 3])})
    pq.write_table(table, sink, compression="none", use_dictionary=False)
    forge(directory, "shard-00000.parquet", sink.getvalue())
    assert_refused(tmp_path, "parquet", "columns")


@pytest.mark.parametrize("content", [b"\x00" * 3, b"PAR1", b"PAR1" * 30, b"\x00" * 500])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    forge(one_shard(tmp_path, "parquet"), "shard-00000.parquet", content)
    assert_refused(tmp_path, "parquet", "Parquet")


@pytest.mark.parametrize("adapter", ["npy", "parquet"])
def test_a_linked_shard_is_not_followed(tmp_path: Path, adapter: str) -> None:
    shard = sorted(one_shard(tmp_path, adapter).glob("shard-*"))[0]
    elsewhere = tmp_path / "elsewhere"
    shard.rename(elsewhere)
    shard.symlink_to(elsewhere)
    assert_refused(tmp_path, adapter, "symbolic link")


def test_a_pipe_in_place_of_a_shard_blocks_nobody(tmp_path: Path) -> None:
    directory = one_shard(tmp_path, "npy")
    (directory / "shard-00000.npy").unlink()
    os.mkfifo(directory / "shard-00000.npy")
    assert_refused(tmp_path, "npy", "plain file")


def test_a_linked_set_is_refused(tmp_path: Path) -> None:
    directory = one_shard(tmp_path, "npy")
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="symbolic link"):
        FileEmbeddingStore(tmp_path, "npy").read(KEY)


@pytest.mark.parametrize("name", ["../../../secret", "/etc/passwd", "shard-00001.npy", ""])
def test_a_file_name_from_a_manifest_is_never_opened(tmp_path: Path, name: str) -> None:
    directory = one_shard(tmp_path, "npy")

    def change(record: dict[str, Any]) -> None:
        record["files"] = {name: record["files"].popitem()[1]}

    rewrite(directory, change)
    store = FileEmbeddingStore(tmp_path, "npy")
    with pytest.raises(CorruptArtifactError, match="line 2"):
        store.read(KEY)
    assert store.verify(KEY)


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_a_manifest_that_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    manifest = one_shard(tmp_path, "npy") / "manifest.jsonl"
    elsewhere = manifest.rename(tmp_path / "elsewhere")
    before = elsewhere.read_bytes()
    replace_by(manifest, kind, elsewhere)
    store = FileEmbeddingStore(tmp_path, "npy")
    with pytest.raises((CorruptArtifactError, UsageError), match=r"manifest\.jsonl"):
        store.read(KEY)
    with pytest.raises((CorruptArtifactError, UsageError)), store.write(KEY, make_header(rows=4)):
        pass
    assert store.verify(KEY)
    assert elsewhere.read_bytes() == before


def test_a_linked_lock_is_not_followed(tmp_path: Path) -> None:
    lock = one_shard(tmp_path, "npy") / ".lock"
    precious = tmp_path / "precious"
    precious.write_bytes(b"not to be emptied")
    lock.unlink(missing_ok=True)
    lock.symlink_to(precious)
    store = FileEmbeddingStore(tmp_path, "npy")
    with pytest.raises(UsageError, match="symbolic link"), store.write(KEY, make_header(rows=4)):
        pass
    assert precious.read_bytes() == b"not to be emptied"
    assert [Path(problem.file).name for problem in store.verify(KEY)] == [".lock"]


def test_a_linked_leftover_is_removed_and_what_it_points_to_stays(tmp_path: Path) -> None:
    directory = one_shard(tmp_path, "npy")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (directory / ".fusionapp-0123456789abcdef.tmp").symlink_to(precious / "file")
    (directory / "folder").symlink_to(precious)
    (precious / ".fusionapp-0123456789abcdef.tmp").touch()
    with FileEmbeddingStore(tmp_path, "npy").write(KEY, make_header(rows=4)):
        pass
    assert not (directory / ".fusionapp-0123456789abcdef.tmp").is_symlink()
    assert len(list(precious.iterdir())) == 2


def test_a_leftover_that_is_a_directory_is_an_error_of_one_line(tmp_path: Path) -> None:
    (one_shard(tmp_path, "npy") / ".fusionapp-0123456789abcdef.tmp").mkdir()
    with (
        pytest.raises(UsageError, match="cannot be written"),
        FileEmbeddingStore(tmp_path, "npy").write(KEY, make_header(rows=4)),
    ):
        pass


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_a_shard_is_written_over_what_stands_in_its_place_and_not_through_it(
    tmp_path: Path, kind: str
) -> None:
    directory = one_shard(tmp_path, "npy")
    shard = directory / "shard-00000.npy"
    whole = shard.read_bytes()
    precious = tmp_path / "precious"
    precious.write_bytes(b"not to be written to")
    shard.unlink()
    replace_by(shard, kind, precious)
    if kind == "directory":
        with pytest.raises(UsageError, match="cannot be written"):
            write_set(tmp_path, "npy", make_header(rows=4))
        return
    write_set(tmp_path, "npy", make_header(rows=4))
    assert shard.read_bytes() == whole
    assert not shard.is_symlink()
    assert precious.read_bytes() == b"not to be written to"


def test_a_disk_that_cannot_be_read_is_damage_and_no_crash() -> None:
    # The kernel answers a read at address 0 of a process with the error of a broken disk.
    broken = Path("/proc/self/mem")
    if not broken.exists():
        pytest.skip("needs Linux")
    with pytest.raises(CorruptArtifactError, match="cannot be read: Input/output error"):
        hash_file(broken)
    assert difference(broken, Checksum("a" * 64, 0)) == "cannot be read: Input/output error"
    with pytest.raises(CorruptArtifactError, match="cannot be read"):
        scan(broken)


def replace_by(path: Path, kind: str, elsewhere: Path) -> None:
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
