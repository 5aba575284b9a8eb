"""A write that fails or dies at any of its calls to the disk is resumed to exact rows: none lost, none twice."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fakes.disks import Countdown, EventfulDisk, failure, mounted, nothing
from store_sets import DENSE, KEY, SPARSE, commit_shard, contents, make_header, write_set

from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.domain.errors import ResourceError, UsageError

TESTS = Path(__file__).parents[1]
SHAPES = {"dense": DENSE, "sparse": SPARSE}
EVERY_KIND = pytest.mark.parametrize(
    ("adapter", "shape"), [("npy", "dense"), ("npy", "sparse"), ("parquet", "dense"), ("parquet", "sparse")]
)
CALLS = {
    "create",
    "make_directory",
    "reopen",
    "replace",
    "sync",
    "sync_directory",
    "truncate",
    "unlink",
    "write",
}


def calls_of_a_write(root: Path, adapter: str, shape: str) -> list[str]:
    """What a whole write asks of the disk, in order."""
    asked: list[str] = []
    with mounted(EventfulDisk(lambda call, name: asked.append(call))):
        write_set(root, adapter, make_header(SHAPES[shape], rows=6))
    return asked


def assert_resumes(root: Path, adapter: str, shape: str, expected: dict[str, bytes]) -> None:
    """Nothing is wrong with what is there, and the rest follows."""
    store = FileEmbeddingStore(root, adapter)
    stored = store.read(KEY)
    if stored is not None:
        assert all("torn" in problem.problem for problem in store.verify(KEY))
        assert stored.load().shape[0] == len(stored.rows()) == stored.status().durable_rows
    with mounted(EventfulDisk(nothing)):
        assert contents(write_set(root, adapter, make_header(SHAPES[shape], rows=6))) == expected


@EVERY_KIND
@pytest.mark.parametrize(
    ("code", "error", "persistent"),
    [
        (errno.ENOSPC, ResourceError, True),
        (errno.EIO, ResourceError, False),
        (errno.EACCES, UsageError, True),
    ],
    ids=["full", "broken once", "forbidden"],
)
def test_a_write_that_fails_at_any_call_resumes(
    tmp_path: Path, adapter: str, shape: str, code: int, error: type[Exception], persistent: bool
) -> None:
    calls = calls_of_a_write(tmp_path / "whole", adapter, shape)
    assert set(calls) == CALLS
    expected = contents(Path(FileEmbeddingStore(tmp_path / "whole", adapter).locate(KEY)))
    for at in range(len(calls)):
        root = tmp_path / f"failed-{at}"
        fails = EventfulDisk(Countdown(at, failure(code), persistent))
        with mounted(fails), suppress(error):
            write_set(root, adapter, make_header(SHAPES[shape], rows=6))
        assert_resumes(root, adapter, shape, expected)


@EVERY_KIND
def test_a_writer_that_is_killed_at_any_call_resumes(tmp_path: Path, adapter: str, shape: str) -> None:
    calls = calls_of_a_write(tmp_path / "whole", adapter, shape)
    expected = contents(Path(FileEmbeddingStore(tmp_path / "whole", adapter).locate(KEY)))
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent / 'src'}{os.pathsep}{TESTS}"}
    command = [sys.executable, str(TESTS / "store_failpoints.py"), str(tmp_path), adapter, shape]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(ended.stdout) == len(calls) + 1
    for at in range(len(calls) + 1):
        assert_resumes(tmp_path / str(at), adapter, shape, expected)


@EVERY_KIND
def test_a_commit_that_failed_can_be_repeated_by_the_same_writer(
    tmp_path: Path, adapter: str, shape: str
) -> None:
    expected = contents(write_set(tmp_path / "whole", adapter, make_header(SHAPES[shape], rows=6)))
    for at in range(30):
        store = FileEmbeddingStore(tmp_path / str(at), adapter)
        with mounted(EventfulDisk(nothing)), store.write(KEY, make_header(SHAPES[shape], rows=6)) as writer:
            for shard in writer.pending():
                with mounted(EventfulDisk(Countdown(at, failure(errno.ENOSPC)))), suppress(ResourceError):
                    commit_shard(writer, shard)
                commit_shard(writer, shard)
        found = contents(Path(store.locate(KEY))).items()
        assert {name: content for name, content in found if not name.endswith(".tmp")} == expected
