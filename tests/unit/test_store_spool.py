"""The spool's files: what is kept, what is found damaged, and how much memory writing takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from store_sets import contents

from fusionapp.adapters.filesystem.lock import exclusive
from fusionapp.adapters.filesystem.spool import ArrowSpool
from fusionapp.domain.errors import CorruptArtifactError, LockedError, UsageError
from fusionapp.domain.examples import Example

EXAMPLES = [Example(f"text {row}", "label", {"row": row}) for row in range(5)]


def test_the_same_content_again_keeps_the_file(tmp_path: Path) -> None:
    spool = ArrowSpool(tmp_path)
    spool.write("train", EXAMPLES)
    [file] = tmp_path.glob("*.arrow")
    inode = file.stat().st_ino
    before = contents(tmp_path)
    spool.write("train", EXAMPLES)
    assert contents(tmp_path) == before
    assert file.stat().st_ino == inode


def test_a_damaged_file_is_written_again(tmp_path: Path) -> None:
    spool = ArrowSpool(tmp_path)
    spool.write("train", EXAMPLES)
    before = contents(tmp_path)
    [file] = tmp_path.glob("*.arrow")
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(CorruptArtifactError, match="extract"):
        spool.read("train")
    spool.write("train", EXAMPLES)
    assert contents(tmp_path) == before


def test_what_is_replaced_is_removed_and_other_splits_stay(tmp_path: Path) -> None:
    spool = ArrowSpool(tmp_path)
    for split in ("train", "train-extra"):
        spool.write(split, EXAMPLES)
    spool.write("train", EXAMPLES[:2])
    assert len(list(tmp_path.glob("*.arrow"))) == 2
    assert (spool.read("train").rows, spool.read("train-extra").rows) == (2, 5)


def test_a_split_that_is_open_outlives_its_replacement(tmp_path: Path) -> None:
    spool = ArrowSpool(tmp_path)
    spool.write("train", EXAMPLES)
    split = spool.read("train")
    spool.write("train", EXAMPLES[:1])
    assert split.texts(3, 5) == ["text 3", "text 4"]


def test_a_crash_before_the_card_leaves_the_earlier_split(tmp_path: Path) -> None:
    spool = ArrowSpool(tmp_path)
    spool.write("train", EXAMPLES)
    (tmp_path / "train-0123456789abcdef.arrow").write_bytes(b"of a later write")
    assert spool.read("train").rows == 5
    assert list(spool.verify()) == []


def test_a_flipped_bit_is_found_in_every_file(tmp_path: Path) -> None:
    spool = ArrowSpool(tmp_path)
    spool.write("train", EXAMPLES)
    for name, content in contents(tmp_path).items():
        for position in range(0, len(content), 11):
            damaged = bytearray(content)
            damaged[position] ^= 32
            (tmp_path / name).write_bytes(damaged)
            assert [problem.file for problem in spool.verify()] == [name], position
        (tmp_path / name).write_bytes(content)
    assert list(spool.verify()) == []


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(LockedError):
        ArrowSpool(tmp_path).write("train", EXAMPLES)


@pytest.mark.parametrize("split", ["../train", "", ".train", "a/b"])
def test_a_split_that_could_leave_the_directory_is_refused(tmp_path: Path, split: str) -> None:
    with pytest.raises(UsageError, match="split"):
        ArrowSpool(tmp_path).write(split, EXAMPLES)


def test_memory_stays_flat_while_a_split_streams_through(tmp_path: Path) -> None:
    def examples() -> Iterator[Example]:
        for row in range(20_000):
            yield Example(f"{row} " + "x" * 1000, "label", {"row": row})

    before = pa.total_allocated_bytes()
    tracemalloc.start()
    split = ArrowSpool(tmp_path).write("train", examples())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size > 20_000_000
    assert peak < 10_000_000
    assert pa.total_allocated_bytes() - before < 1_000_000
    assert split.texts(19_999, 20_000) == ["19999 " + "x" * 1000]
