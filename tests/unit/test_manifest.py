"""A manifest's lines: sealed, strict, and read back as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from store_sets import DENSE, make_header, write_set

from fusionapp.adapters.filesystem.manifest import read_manifest, trusted_manifest
from fusionapp.adapters.filesystem.records import header_line, parse_header
from fusionapp.adapters.filesystem.sealed import Log, scan, seal, unseal
from fusionapp.adapters.filesystem.shard_format import shard_format
from fusionapp.domain.errors import CorruptArtifactError, UsageError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_a_record_survives_sealing(record: Any) -> None:
    line = seal(record)
    assert unseal(line.removesuffix(b"\n")) == record
    assert line.count(b"\n") == 1


@given(JSON, st.data())
def test_any_flipped_bit_of_a_line_is_found(record: Any, data: st.DataObject) -> None:
    line = bytearray(seal(record).removesuffix(b"\n"))
    position = data.draw(st.integers(0, len(line) - 1))
    line[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="checksum"):
        unseal(bytes(line))


def test_the_order_of_keys_does_not_change_a_line() -> None:
    assert seal({"a": 1, "b": 2}) == seal({"b": 2, "a": 1})


def test_a_log_tells_good_bad_and_torn_lines_apart(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(seal(1) + b"not sealed\n" + seal(2) + seal(3)[:-1])
    found = scan(path)
    assert found.records == {1: 1, 3: 2}
    assert list(found.bad) == [2]
    assert found.torn


def test_a_log_goes_on_where_its_last_whole_line_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(seal(1) + seal(2)[:-5])
    Log(path, scan(path).end).append(3, 4)
    assert path.read_bytes() == seal(1) + seal(3) + seal(4)


def test_a_header_comes_back_as_it_was_written(tmp_path: Path) -> None:
    header = make_header()
    directory = write_set(tmp_path, "npy", header)
    assert trusted_manifest(directory, shard_format("npy")).header == header


def test_records_hold_no_time_and_two_runs_write_the_same_manifest(tmp_path: Path) -> None:
    first, second = (write_set(tmp_path / name, "npy", make_header()) for name in ("a", "b"))
    assert (first / "manifest.jsonl").read_bytes() == (second / "manifest.jsonl").read_bytes()


HEADER_CHANGES: list[dict[str, Any]] = [
    {"version": 2},
    {"format": "parquet"},
    {"rows": -1},
    {"rows": "10"},
    {"rows": True},
    {"rows": 10.0},
    {"shard_rows": 0},
    {"shape": {"layers": 0, "dim": 5, "sparse": False}},
    {"shape": {"layers": 2, "dim": 5, "sparse": True}},
    {"shape": {"layers": 2, "dim": 5}},
    {"shape": None},
    {"plan": {"device": "cpu"}},
    {"identity": ["model"]},
    {"unknown": 1},
    {"kind": "shard"},
]


@pytest.mark.parametrize("change", HEADER_CHANGES, ids=str)
def test_a_malformed_header_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    line = {**header_line(make_header(DENSE), "npy"), **change}
    (tmp_path / "manifest.jsonl").write_bytes(seal(line))
    with pytest.raises(CorruptArtifactError, match="line 1"):
        read_manifest(tmp_path, shard_format("npy"))


@pytest.mark.parametrize("content", [b"", b"\n", seal([])[:-1], seal(None), seal([1, 2])])
def test_a_manifest_without_a_header_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(content)
    with pytest.raises(CorruptArtifactError, match="line 1"):
        read_manifest(tmp_path, shard_format("npy"))


SHARD_CHANGES: list[dict[str, Any]] = [
    {"index": 3},
    {"index": -1},
    {"index": True},
    {"index": "0"},
    {"start": 1},
    {"stop": 10**12},
    {"kept": 4},
    {"truncated": 5},
    {"truncated": -1},
    {"truncated": 1.0},
    {"quarantined": [[9, "NaN"]]},
    {"quarantined": [[1, "a"], [1, "b"]]},
    {"quarantined": [[1]]},
    {"quarantined": 7},
    {"notes": [1]},
    {"files": {}},
    {"files": {"shard-00000.npy": {"sha256": "0" * 64, "bytes": -1}}},
    {"files": {"shard-00000.npy": {"sha256": "F" * 64, "bytes": 1}}},
    {"files": {"shard-00000.npy": None}},
    {"unknown": 1},
]


@pytest.mark.parametrize("change", SHARD_CHANGES, ids=str)
def test_a_malformed_shard_is_a_problem_and_no_record(tmp_path: Path, change: dict[str, Any]) -> None:
    manifest = write_set(tmp_path, "npy", make_header(), shards=1) / "manifest.jsonl"
    header, shard = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(header + seal({**unseal(shard[:-1]), **change}))
    found = read_manifest(manifest.parent, shard_format("npy"))
    assert len(found.problems) == 1
    assert not found.records
    with pytest.raises(CorruptArtifactError, match="line 2"):
        trusted_manifest(manifest.parent, shard_format("npy"))


def test_the_last_record_of_a_shard_counts(tmp_path: Path) -> None:
    manifest = write_set(tmp_path, "npy", make_header(), shards=1) / "manifest.jsonl"
    header, shard = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(header + shard + seal({**unseal(shard[:-1]), "notes": ["again"]}))
    assert trusted_manifest(manifest.parent, shard_format("npy")).records[0].notes == ("again",)


def test_a_header_that_makes_no_sense_is_never_written() -> None:
    with pytest.raises(ValueError, match="least value"):
        parse_header(header_line(make_header(shard_rows=0), "npy"), "npy")


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="npy, parquet"):
        shard_format("hdf5")
