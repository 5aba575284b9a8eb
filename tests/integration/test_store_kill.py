"""A process that is killed while it writes loses nothing that it recorded, and resuming leaves no trace of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from time import sleep

import pytest
from store_sets import KEY, KILLED_SHAPES, contents, make_header, write_set

from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.domain.errors import LockedError

TESTS = Path(__file__).parents[1]
SHARDS = 40


@contextmanager
def child(root: Path, adapter: str, shape: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent / 'src'}{os.pathsep}{TESTS}"}
    command = [sys.executable, str(TESTS / "store_child.py"), str(root), adapter, shape]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("adapter", "shape"), [("npy", "dense"), ("npy", "sparse"), ("parquet", "dense")])
def test_a_killed_writer_resumes_to_the_bytes_of_an_uninterrupted_one(
    tmp_path: Path, adapter: str, shape: str
) -> None:
    header = make_header(KILLED_SHAPES[shape], rows=SHARDS * 64, shard_rows=64)
    uninterrupted = contents(write_set(tmp_path / "whole", adapter, header))
    store = FileEmbeddingStore(tmp_path / "killed", adapter)
    random = Random(f"{adapter} {shape}")
    for _ in range(4):
        with child(store.root, adapter, shape) as process:
            assert process.stdout is not None
            list(islice(process.stdout, random.randrange(8)))
            sleep(random.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
        problems = [problem.problem for problem in store.verify(KEY)]
        assert all("torn" in problem for problem in problems), problems
        stored = store.read(KEY)
        assert stored is not None
        assert len(stored.rows()) == stored.status().durable_rows
    directory = write_set(store.root, adapter, header)
    assert contents(directory) == uninterrupted


def test_the_lock_of_another_process_holds_until_it_is_killed(tmp_path: Path) -> None:
    header = make_header(KILLED_SHAPES["dense"], rows=SHARDS * 64, shard_rows=64)
    store = FileEmbeddingStore(tmp_path, "npy")
    with child(tmp_path, "npy", "dense") as process:
        process.send_signal(signal.SIGSTOP)  # it lives, but gets no further
        with pytest.raises(LockedError, match=str(tmp_path)), store.write(KEY, header):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with store.write(KEY, header) as writer:
            assert writer.pending()
