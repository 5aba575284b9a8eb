"""Writing, failing, being killed and losing power in any order: what was committed stays, exactly once."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from fakes.disks import Countdown, ForgetfulDisk, Stopped, failure, mounted, nothing
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray
from scipy.sparse import csr_array
from store_sets import DENSE, KEY, SPARSE, commit_shard, contents, make_header, shard_vectors, write_set

from fusionapp.adapters.filesystem.manifest import read_manifest
from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.application.ports.embedding_store import EmbeddingWriter, Header, Shard
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError, ResourceError, UsageError

CALLS = st.integers(0, 30)
ADAPTERS = st.sampled_from(["npy", "parquet"])
SHAPES = st.sampled_from([DENSE, SPARSE])
MANIFEST = "manifest.jsonl"


@cache
def undisturbed(adapter: str, sparse: bool, rows: int, shard_rows: int) -> Mapping[str, bytes]:
    """The files of a set that was written in one go."""
    with TemporaryDirectory() as root, mounted(ForgetfulDisk(Path(root) / "disk")):
        header = make_header(SPARSE if sparse else DENSE, rows, shard_rows)
        return without_lock(write_set(Path(root) / "disk" / "embeddings", adapter, header))


def without_lock(directory: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(directory).items() if name != ".lock"}


def dense(embeddings: Embeddings) -> NDArray[Any]:
    return embeddings.toarray() if isinstance(embeddings, csr_array) else np.asarray(embeddings)


class WritingASet(RuleBasedStateMachine):
    """One set, one writer at a time, and a reader that looks after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        root = Path(self.folder.name) / "disk"
        self.disk = ForgetfulDisk(root)
        self.root = root / "embeddings"
        self.held = ExitStack()
        self.writer: EmbeddingWriter | None = None
        self.committed: set[int] = set()
        self.power_was_cut = False

    @initialize(
        adapter=ADAPTERS,
        shape=SHAPES,
        rows=st.integers(0, 9),
        shard_rows=st.integers(1, 4),
        ordered=st.booleans(),
    )
    def choose(self, adapter: str, shape: Any, rows: int, shard_rows: int, ordered: bool) -> None:
        self.ordered = ordered
        self.header: Header = make_header(shape, rows, shard_rows)
        self.store = FileEmbeddingStore(self.root, adapter)
        self.expected = undisturbed(adapter, shape.sparse, rows, shard_rows)

    @property
    def directory(self) -> Path:
        return Path(self.store.locate(KEY))

    def open(self) -> None:
        with mounted(self.disk):
            self.writer = self.held.enter_context(self.store.write(KEY, self.header))

    def close(self) -> None:
        self.held.close()
        self.writer = None

    def commit(self, random: Random) -> None:
        assert self.writer is not None
        pending = list(self.writer.pending())
        assert not self.committed & {shard.index for shard in pending}, "a committed shard is gone"
        if pending:
            shard = pending[0] if self.ordered else random.choice(pending)
            with mounted(self.disk):
                commit_shard(self.writer, shard)
            self.committed.add(shard.index)

    def act(self, random: Random) -> None:
        """Whatever comes next."""
        if self.writer is None:
            self.open()
        else:
            self.commit(random)

    @rule(random=st.randoms())
    def go_on(self, random: Random) -> None:
        self.act(random)

    @precondition(lambda self: self.writer is not None)
    @rule()
    def end(self) -> None:
        self.close()

    @rule(
        calls=CALLS,
        code=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EACCES]),
        persistent=st.booleans(),
        random=st.randoms(),
    )
    def the_disk_fails(self, calls: int, code: int, persistent: bool, random: Random) -> None:
        """At some call, or from there on; the process lives and may try again."""
        self.disk.happens = Countdown(calls, failure(code), persistent)
        with suppress(UsageError if code == errno.EACCES else ResourceError):
            self.act(random)
        self.disk.happens = nothing

    @rule(calls=CALLS, random=st.randoms())
    def the_process_is_killed(self, calls: int, random: Random) -> None:
        """At some call; what reached the system stays for the next process to see."""
        self.stop(calls, random)

    @rule(calls=CALLS, random=st.randoms())
    def the_power_is_cut(self, calls: int, random: Random) -> None:
        """At some call, or after what was asked for was done."""
        self.stop(calls, random)
        self.disk.lose_power(random)
        self.power_was_cut = True

    def stop(self, calls: int, random: Random) -> None:
        self.disk.happens = Countdown(calls, Stopped)
        with suppress(Stopped):
            self.act(random)
        self.close()
        self.disk.happens = nothing

    @invariant()
    def what_was_committed_is_there(self) -> None:
        if not hasattr(self, "store"):
            return
        if self.garbled():
            self.report_corruption_and_begin_anew()
        stored = self.store.read(KEY)
        if stored is None:
            assert not self.committed
            return
        recorded = list(read_manifest(self.directory, self.store.form).records)
        for index, (rows, embeddings) in zip(recorded, stored.shards(), strict=True):
            self.check_shard(index, rows, embeddings)
        assert self.committed <= set(recorded)
        assert stored.status().durable_rows == len(stored.rows())

    def check_shard(self, index: int, rows: NDArray[np.int64], embeddings: Embeddings) -> None:
        start = index * self.header.shard_rows
        shard = Shard(index, start, min(start + self.header.shard_rows, self.header.rows))
        kept = [row for row in range(shard.start, shard.stop) if row != 1]
        assert rows.tolist() == kept
        whole = dense(shard_vectors(self.header.shape, shard))
        np.testing.assert_array_equal(dense(embeddings), whole[[row - start for row in kept]])

    @invariant()
    def nothing_else_is_wrong(self) -> None:
        if hasattr(self, "store") and self.directory.exists():
            assert all("torn" in problem.problem for problem in self.store.verify(KEY))

    def garbled(self) -> bool:
        """Whether a line that ends in a newline is none that was ever written."""
        path = self.directory / MANIFEST
        if not path.exists():
            return False
        lines = path.read_bytes().split(b"\n")[:-1]
        return not set(lines) <= set(self.expected[MANIFEST].split(b"\n"))

    def report_corruption_and_begin_anew(self) -> None:
        """It is told by everyone, what was committed stands all the same, and the way out is a way out."""
        assert self.power_was_cut
        assert self.store.verify(KEY)
        with pytest.raises(CorruptArtifactError, match="extract again"):
            self.store.read(KEY)
        with pytest.raises(CorruptArtifactError, match="extract again"), mounted(self.disk):
            self.store.write(KEY, self.header).__enter__()
        found = contents(self.directory)
        lines = found[MANIFEST].split(b"\n")
        assert all(
            any(b'"index":%d,' % index in line and line in self.expected[MANIFEST] for line in lines)
            for index in self.committed
        )
        for name, content in self.expected.items():
            if any(name.startswith(f"shard-{index:05d}.") for index in self.committed):
                assert found[name] == content
        self.disk.remove(self.directory)
        self.committed.clear()

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self.the_end_is_that_of_an_undisturbed_run()
        finally:
            self.close()
            self.folder.cleanup()

    def the_end_is_that_of_an_undisturbed_run(self) -> None:
        self.close()
        self.open()
        assert self.writer is not None
        for _ in self.writer.pending():
            self.commit(Random(0))
        found, expected = without_lock(self.directory), dict(self.expected)
        if not self.ordered:
            found[MANIFEST], expected[MANIFEST] = map(sorted_lines, (found[MANIFEST], expected[MANIFEST]))
        assert found == expected
        assert list(self.store.verify(KEY)) == []


def sorted_lines(content: bytes) -> bytes:
    return b"\n".join(sorted(content.split(b"\n")))


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        WritingASet,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_set_survives_failing_disks_kills_and_power_cuts() -> None:
    run(examples=60, steps=15)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_set_survives_thousands_of_failing_disks_kills_and_power_cuts() -> None:
    run(examples=1000, steps=30)
