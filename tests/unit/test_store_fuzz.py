"""Manifests, journals and cards whose checksums are right and whose content is wild.

Every one is either what it could have been, or a `CorruptArtifactError`; and no file outside is opened.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fakes.watched import watched
from hypothesis import given, settings, strategies as st
from store_sets import DENSE, KEY, SPARSE, make_header, write_set

from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.filesystem.sealed import seal, unseal
from fusionapp.adapters.filesystem.spool import ArrowSpool
from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.examples import Example

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([2**31, 2**63 - 1, 2**63, -(2**64), 10**30, 10**400]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "../../../secret", "/etc/passwd", "shard-00001.npy", "\x00", "a" * 5000, "\ud800"]),
    st.text(max_size=5),
)
WILD = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RAW = st.sampled_from(
    [
        b"NaN",
        b"Infinity",
        b"[" * 100_000,
        b"[" * 900 + b"]" * 900,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"\xff",
    ]
)


def raw_seal(text: bytes) -> bytes:
    """A line with a right checksum over any bytes."""
    return b'{"record":' + text + b',"sha256":"' + sha256(text).hexdigest().encode() + b'"}\n'


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a record."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


@st.composite
def spoilt(draw: st.DrawFn, line: bytes) -> bytes:
    """A line of which something was replaced, added, removed or doubled, and which was sealed again."""
    record = copy.deepcopy(unseal(line))
    path = draw(st.sampled_from(sorted(places(record), key=repr)))
    if not path or draw(st.integers(0, 9)) == 0:
        return raw_seal(draw(RAW)) if draw(st.booleans()) else seal(draw(WILD))
    parent = record
    for key in path[:-1]:
        parent = parent[key]
    change = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
    if change == "replace":
        parent[path[-1]] = draw(WILD)
    elif change == "remove":
        del parent[path[-1]]
    elif isinstance(parent, dict):
        parent[draw(st.text(max_size=5))] = draw(WILD)
    else:
        parent.append(draw(WILD))
    return seal(record)


def read_everything(store: FileEmbeddingStore) -> None:
    """As every command would; the errors that may come are raised here."""
    stored = store.read(KEY)
    assert stored is not None
    status = stored.status()
    assert status.durable_rows <= status.rows
    if status.complete:
        assert len(stored.rows()) == status.durable_rows
    stored.load()
    for _ in stored.shards():
        pass


@settings(deadline=None, max_examples=60)
@given(
    adapter=st.sampled_from(["npy", "parquet"]),
    shape=st.sampled_from([DENSE, SPARSE]),
    line=st.integers(0, 3),
    double=st.booleans(),
    data=st.data(),
)
def test_a_wild_manifest_is_what_it_could_be_or_corrupt(
    adapter: str, shape: Any, line: int, double: bool, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder) / "embeddings"
        manifest = write_set(root, adapter, make_header(shape)) / "manifest.jsonl"
        lines = manifest.read_bytes().splitlines()
        wild = data.draw(spoilt(lines[line])).rstrip(b"\n")
        lines[line : line if double else line + 1] = [wild]
        manifest.write_bytes(b"\n".join(lines) + b"\n")
        store = FileEmbeddingStore(root, adapter)
        with watched() as opened:
            with suppress(CorruptArtifactError):
                read_everything(store)
            store.verify(KEY)
            with suppress(CorruptArtifactError), store.write(KEY, make_header(shape)) as writer:
                writer.pending()
        assert all(path.is_relative_to(folder) for path in opened), opened


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_wild_journal_leads_nowhere(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder) / "run")
        run.write_document("experiment.json", {"name": "emotions"})
        journal = Path(run.directory) / "checksums.jsonl"
        lines = journal.read_bytes().splitlines()
        line = data.draw(st.integers(0, len(lines) - 1))
        lines[line] = data.draw(spoilt(lines[line])).rstrip(b"\n")
        journal.write_bytes(b"\n".join(lines) + b"\n")
        with watched() as opened:
            run.verify()
            with suppress(CorruptArtifactError):
                run.write_document("experiment.json", {"name": "emotions"})
        assert all(path.is_relative_to(folder) for path in opened), opened


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_wild_card_of_a_split_leads_nowhere(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        spool = ArrowSpool(Path(folder) / "spool")
        spool.write("train", [Example(f"text {row}", "label", {"row": row}) for row in range(3)])
        card = spool.directory / "train.json"
        card.write_bytes(data.draw(spoilt(card.read_bytes().rstrip(b"\n"))))
        with watched() as opened:
            with suppress(CorruptArtifactError, UsageError):
                spool.read("train").texts(0, 3)
            spool.verify()
        assert all(path.is_relative_to(folder) for path in opened), opened


@pytest.mark.parametrize("adapter", ["npy", "parquet"])
def test_a_header_that_promises_wider_embeddings_than_there_are_takes_no_memory(
    tmp_path: Path, adapter: str
) -> None:
    manifest = write_set(tmp_path, adapter, make_header()) / "manifest.jsonl"
    header, *lines = manifest.read_bytes().splitlines()
    record = unseal(header)
    record["shape"]["dim"] = 10**12
    manifest.write_bytes(seal(record) + b"\n".join(lines) + b"\n")
    stored = FileEmbeddingStore(tmp_path, adapter).read(KEY)
    assert stored is not None
    with pytest.raises(CorruptArtifactError, match="too few for"):
        stored.load()


@pytest.mark.parametrize("depth", [300, 900, 5000])
def test_a_header_that_is_nested_too_deep_is_corrupt(tmp_path: Path, depth: int) -> None:
    manifest = write_set(tmp_path, "npy", make_header()) / "manifest.jsonl"
    header, *lines = manifest.read_bytes().splitlines(keepends=True)
    text = header[len(b'{"record":') : header.rindex(b',"sha256"')]
    deep = text.replace(b'"model":"mini"', b'"model":' + b"[" * depth + b"]" * depth)
    manifest.write_bytes(raw_seal(deep) + b"".join(lines))
    store = FileEmbeddingStore(tmp_path, "npy")
    with suppress(CorruptArtifactError):
        read_everything(store)
    store.verify(KEY)
    with pytest.raises(CorruptArtifactError), store.write(KEY, make_header()):
        pass


@pytest.mark.parametrize("rows", [10**12, 2**63 - 1])
def test_a_header_that_promises_more_shards_than_can_be_counted_is_verified_at_once(
    tmp_path: Path, rows: int
) -> None:
    directory = write_set(tmp_path, "npy", make_header(rows=4))
    manifest = directory / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines()
    header = unseal(lines[0]) | {"rows": rows}
    manifest.write_bytes(seal(header) + lines[1] + b"\n")
    (directory / "notes.txt").touch()
    found = FileEmbeddingStore(tmp_path, "npy").verify(KEY)
    assert [Path(problem.file).name for problem in found] == ["notes.txt"]
