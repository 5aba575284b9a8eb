"""Finding every byte of a set of embeddings that is not what was written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from fusionapp.adapters.filesystem.atomic import LOCK, TEMPORARY
from fusionapp.adapters.filesystem.checksums import difference
from fusionapp.adapters.filesystem.manifest import MANIFEST, Manifest, read_manifest
from fusionapp.adapters.filesystem.records import ShardRecord, shard_at
from fusionapp.adapters.filesystem.shard_format import ShardFormat
from fusionapp.application.ports.embedding_store import Problem
from fusionapp.domain.errors import CorruptArtifactError


def verify_set(root: Path, directory: Path, form: ShardFormat) -> Sequence[Problem]:
    """What is wrong in a set's directory; files are named relative to the root.

    An incomplete set is no problem, nor are a shard not recorded yet and a killed writer's temporary files.
    """
    place = directory.relative_to(root)
    if not directory.is_dir():
        return [Problem(str(place), "is missing")]
    try:
        manifest = read_manifest(directory, form)
    except CorruptArtifactError as error:
        begun = any(not _is_scaffold(path) for path in directory.iterdir())
        return [Problem(str(place / MANIFEST), _without_path(error, directory / MANIFEST))] if begun else []
    found = [(MANIFEST, problem) for problem in manifest.problems]
    if manifest.torn:
        found.append((MANIFEST, "has an unterminated last line (a torn tail); extracting again repairs it"))
    for record in manifest.records.values():
        found += _damage(directory, record, manifest, form)
    found += ((name, "does not belong to the set") for name in _foreign(directory, manifest, form))
    return [Problem(str(place / name), problem) for name, problem in found]


def _damage(
    directory: Path, record: ShardRecord, manifest: Manifest, form: ShardFormat
) -> list[tuple[str, str]]:
    """What is wrong with a shard's files: their bytes, and where these are right, their meaning."""
    found = [(name, difference(directory / name, recorded)) for name, recorded in record.files.items()]
    damaged = [(name, problem) for name, problem in found if problem is not None]
    if not damaged:
        try:
            form.decode(directory, record.files, record.rows(), manifest.header.shape)
        except CorruptArtifactError as error:
            damaged = [(next(iter(record.files)), str(error))]
    return damaged


def _foreign(directory: Path, manifest: Manifest, form: ShardFormat) -> Iterator[str]:
    """Asked of each file, as a crafted header may promise more shards than could ever be counted."""
    for path in sorted(directory.iterdir()):
        if path.name != MANIFEST and not _is_shard(path.name, manifest, form) and not _is_scaffold(path):
            yield path.name


def _is_shard(name: str, manifest: Manifest, form: ShardFormat) -> bool:
    digits = re.search("[0-9]+", name)
    try:
        shard = shard_at(manifest.header, int(digits.group()) if digits else -1)
    except (IndexError, ValueError):  # more digits than an integer may have are a ValueError
        return False
    return name in form.file_names(shard.index, manifest.header.shape)


def _is_scaffold(path: Path) -> bool:
    """The lock's empty file, and what a killed writer left behind."""
    if path.is_symlink() or not path.is_file():
        return False
    return fnmatch(path.name, TEMPORARY) or (path.name == LOCK and path.stat().st_size == 0)


def _without_path(error: CorruptArtifactError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
