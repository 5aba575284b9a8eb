"""Every flipped bit is found, and what a crash leaves behind is told from damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from store_sets import DENSE, KEY, SPARSE, contents, make_header, write_set

from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.domain.embeddings import EmbeddingShape
from fusionapp.domain.errors import CorruptArtifactError

FORMATS = ["npy", "parquet"]
SHAPES = pytest.mark.parametrize("shape", [DENSE, SPARSE], ids=["dense", "sparse"])
ADAPTERS = pytest.mark.parametrize("adapter", FORMATS)


def flip(path: Path, position: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


@ADAPTERS
@SHAPES
def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path, adapter: str, shape: EmbeddingShape) -> None:
    directory = write_set(tmp_path, adapter, make_header(shape, rows=6))
    store = FileEmbeddingStore(tmp_path, adapter)
    rng = np.random.default_rng(0)
    for name, content in contents(directory).items():
        for position in {0, len(content) - 1, *rng.integers(0, len(content) or 1, 40).tolist()}:
            if not content:
                continue
            flip(directory / name, position, int(rng.integers(8)))
            assert name in {Path(problem.file).name for problem in store.verify(KEY)}, (name, position)
            (directory / name).write_bytes(content)
    assert list(store.verify(KEY)) == []


def test_a_flipped_bit_of_a_manifest_is_found_even_where_its_json_stays_readable(tmp_path: Path) -> None:
    manifest = write_set(tmp_path, "npy", make_header(rows=2)) / "manifest.jsonl"
    store = FileEmbeddingStore(tmp_path, "npy")
    for position in range(0, len(manifest.read_bytes()), 5):
        for bit in (0, 5):  # 5 turns "a" into "A": the JSON may stay as readable as it was
            flip(manifest, position, bit)
            assert store.verify(KEY), (position, bit)
            flip(manifest, position, bit)
    assert list(store.verify(KEY)) == []


@ADAPTERS
def test_a_damaged_shard_is_encoded_again_and_the_set_is_as_before(tmp_path: Path, adapter: str) -> None:
    directory = write_set(tmp_path, adapter, make_header())
    before = contents(directory)
    shard = sorted(directory.glob("shard-*"))[1]
    flip(shard, len(before[shard.name]) // 2, 3)
    with FileEmbeddingStore(tmp_path, adapter).write(KEY, make_header()) as writer:
        assert [pending.index for pending in writer.pending()] == [1]
    write_set(tmp_path, adapter, make_header())
    assert contents(directory) == before


@ADAPTERS
def test_a_missing_or_shortened_shard_is_told_on_loading(tmp_path: Path, adapter: str) -> None:
    directory = write_set(tmp_path, adapter, make_header())
    store = FileEmbeddingStore(tmp_path, adapter)
    shard = sorted(directory.glob("shard-*"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    stored = store.read(KEY)
    assert stored is not None
    assert not stored.status().complete
    with pytest.raises(CorruptArtifactError, match="bytes"):
        stored.load()
    shard.unlink()
    with pytest.raises(CorruptArtifactError, match=shard.name):
        stored.load()
    assert [Path(problem.file).name for problem in store.verify(KEY)] == [shard.name]


@ADAPTERS
@SHAPES
def test_a_torn_tail_is_reported_tolerated_and_mended(
    tmp_path: Path, adapter: str, shape: EmbeddingShape
) -> None:
    directory = write_set(tmp_path, adapter, make_header(shape))
    whole = contents(directory)
    manifest = directory / "manifest.jsonl"
    last = whole["manifest.jsonl"].rstrip(b"\n").rfind(b"\n") + 1
    store = FileEmbeddingStore(tmp_path, adapter)
    for end in np.linspace(last + 1, len(whole["manifest.jsonl"]) - 1, 7).astype(int).tolist():
        manifest.write_bytes(whole["manifest.jsonl"][:end])
        assert ["torn" in problem.problem for problem in store.verify(KEY)] == [True]
        stored = store.read(KEY)
        assert stored is not None
        assert stored.rows().tolist() == [0, 2, 3, 4, 5, 6, 7]
        write_set(tmp_path, adapter, make_header(shape))
        assert contents(directory) == whole


def test_a_bad_line_that_ends_in_a_newline_is_corruption(tmp_path: Path) -> None:
    directory = write_set(tmp_path, "npy", make_header())
    with (directory / "manifest.jsonl").open("ab") as manifest:
        manifest.write(b'{"record":{"kind":"sh\n')
    store = FileEmbeddingStore(tmp_path, "npy")
    with pytest.raises(CorruptArtifactError, match=r"line 5 .*checksum.*extract again"):
        store.read(KEY)
    with pytest.raises(CorruptArtifactError, match="line 5"), store.write(KEY, make_header()):
        pass
    assert ["line 5" in problem.problem for problem in store.verify(KEY)] == [True]


def test_leftovers_of_a_killed_writer_are_no_corruption_and_are_cleared_away(tmp_path: Path) -> None:
    directory = write_set(tmp_path, "npy", make_header(), shards=2)
    (directory / ".fusionapp-0123456789abcdef.tmp").write_bytes(b"half a shard")
    (directory / "shard-00002.npy").write_bytes(b"renamed, but not recorded")
    assert list(FileEmbeddingStore(tmp_path, "npy").verify(KEY)) == []
    write_set(tmp_path, "npy", make_header())
    assert contents(directory) == contents(write_set(tmp_path / "other", "npy", make_header()))


def test_files_that_do_not_belong_are_reported(tmp_path: Path) -> None:
    directory = write_set(tmp_path, "npy", make_header())
    for name in ("notes.txt", "shard-00003.npy", "shard-00000.parquet"):
        (directory / name).write_bytes(b"x")
    (directory / "folder").mkdir()
    (directory / ".lock").write_bytes(b"x")
    found = {Path(problem.file).name for problem in FileEmbeddingStore(tmp_path, "npy").verify(KEY)}
    assert found == {"notes.txt", "shard-00003.npy", "shard-00000.parquet", "folder", ".lock"}


def test_a_lost_manifest_is_reported_and_an_empty_directory_is_not(tmp_path: Path) -> None:
    directory = write_set(tmp_path, "npy", make_header())
    store = FileEmbeddingStore(tmp_path, "npy")
    (directory / "manifest.jsonl").unlink()
    assert list(store.keys()) == [KEY]
    assert [Path(problem.file).name for problem in store.verify(KEY)] == ["manifest.jsonl"]
    for shard in directory.glob("shard-*"):
        shard.unlink()
    assert list(store.verify(KEY)) == []


def test_both_formats_keep_the_same_key_apart(tmp_path: Path) -> None:
    for adapter in FORMATS:
        write_set(tmp_path, adapter, make_header())
    loaded = [FileEmbeddingStore(tmp_path, adapter).read(KEY) for adapter in FORMATS]
    assert loaded[0] is not None
    assert loaded[1] is not None
    np.testing.assert_array_equal(loaded[0].load(), loaded[1].load())


def test_a_single_dense_npy_shard_stays_mapped(tmp_path: Path) -> None:
    write_set(tmp_path, "npy", make_header(shard_rows=10))
    stored = FileEmbeddingStore(tmp_path, "npy").read(KEY)
    assert stored is not None
    assert isinstance(stored.load(), np.memmap)
