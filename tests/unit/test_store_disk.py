"""A full or forbidden disk is one clear error, and what stood there still stands."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.disks import largest_file
from store_sets import DENSE, KEY, commit_shard, contents, make_header, write_set

from fusionapp.adapters.filesystem.atomic import replace_file, replace_files
from fusionapp.adapters.filesystem.lock import exclusive
from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.domain.errors import ResourceError, UsageError


def half_then(code: int) -> Iterator[bytes]:
    yield b"half"
    raise OSError(code, os.strerror(code))


def test_a_file_is_replaced_whole_and_no_temporary_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    checksum = replace_file(path, b"new content")
    assert path.read_bytes() == b"new content"
    assert checksum.bytes == 11
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_files_and_no_temporary(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"old")
    with pytest.raises(OSError, match="error"):
        replace_files(tmp_path, {"a": [b"new"], "b": half_then(errno.EIO)})
    assert contents(tmp_path) == {"a": b"old", "b": b"old"}


def test_files_are_made_with_the_permissions_that_the_user_gives_new_files(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    replace_file(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_shard_that_does_not_fit_on_the_disk_can_be_written_later(tmp_path: Path) -> None:
    header = make_header(DENSE, rows=4000, shard_rows=2000)
    store = FileEmbeddingStore(tmp_path, "npy")
    with store.write(KEY, header) as writer:
        first, second = writer.pending()
        commit_shard(writer, first)
        with largest_file(10_000), pytest.raises(ResourceError, match="free some space"):
            commit_shard(writer, second)
        commit_shard(writer, second)
    other = write_set(tmp_path / "other", "npy", header)
    assert contents(Path(store.locate(KEY))) == contents(other)


def test_a_manifest_that_cannot_grow_stays_whole(tmp_path: Path) -> None:
    directory = write_set(tmp_path, "npy", make_header(), shards=1)
    manifest = directory / "manifest.jsonl"
    before = manifest.read_bytes()
    with FileEmbeddingStore(tmp_path, "npy").write(KEY, make_header()) as writer:
        with largest_file(len(before) + 30), pytest.raises(ResourceError):
            commit_shard(writer, writer.pending()[0])
        assert manifest.read_bytes() == before
        for shard in writer.pending():
            commit_shard(writer, shard)
    assert contents(directory) == contents(write_set(tmp_path / "other", "npy", make_header()))


def test_a_place_that_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "embeddings").write_bytes(b"a file")
    with (
        pytest.raises(UsageError, match="embeddings"),
        FileEmbeddingStore(tmp_path / "embeddings", "npy").write(KEY, make_header()),
    ):
        pass


def test_the_lock_holder_clears_temporaries_but_not_another_locks(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    leftover = Path(run.path("models/head")).with_name(".fusionapp-0123456789abcdef.tmp")
    leftover.touch()
    with exclusive(tmp_path / "spool"):
        theirs = tmp_path / "spool" / leftover.name
        theirs.touch()
        with run.lock():
            pass
        assert theirs.exists()
    assert not leftover.exists()
