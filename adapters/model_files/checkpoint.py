"""A model's files on disk: which ones count, and their hashes."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from time import time_ns
from typing import Any

from fusionapp.domain.errors import CorruptArtifactError, UsageError

CONFIGURATION = ("*.json", "*.model", "*.txt")
"""Hub patterns of everything small: configuration, tokenizer, sentence-transformers modules."""

SAFETENSORS = ("model.safetensors", "model-*.safetensors")
PICKLED = ("pytorch_model.bin", "pytorch_model-*.bin")

_SETTLED_NS = 10 * 10**9
"""Age at which a file's time tells a change: clocks of file systems tick coarsely, two seconds on some."""

_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
)


def read_json(path: Path) -> Any:
    """A JSON file's value, None where there is no such file.

    Raises:
        CorruptArtifactError: it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise CorruptArtifactError(f"{path}: not JSON ({error}); fetch the model again") from error


def read_config(directory: Path) -> Mapping[str, Any]:
    """A model's ``config.json``.

    Raises:
        UsageError: the directory holds no transformers model, or an adapter without its base.
    """
    if (directory / "adapter_config.json").exists():
        raise UsageError(f"model: {directory} holds a PEFT adapter; merge it into its base model first")
    config = read_json(directory / "config.json")
    if not isinstance(config, dict):
        raise UsageError(f"model: {directory} has no config.json; it holds no transformers model")
    return config


def inside(directory: Path, name: str) -> Path:
    """`directory / name` for a name that one of the model's own files gives.

    Raises:
        CorruptArtifactError: the name leads out of the directory.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise CorruptArtifactError(f"{directory}: names {name!r}, outside of the model; that is not followed")
    return directory / name


def weight_files(directory: Path) -> list[Path]:
    """The files that hold the weights, safetensors before ``pytorch_model.bin``; empty where there are none.

    Raises:
        CorruptArtifactError: a shard that the index names is missing, or outside of the directory; a pickled
            file is compressed.
    """
    found = _weight_files(directory)
    for path in found:
        if path.suffix == ".bin":
            _refuse_compressed(path)
    return found


def _weight_files(directory: Path) -> list[Path]:
    for single in ("model.safetensors", "pytorch_model.bin"):
        if (directory / single).is_file():
            return [directory / single]
        shards = _indexed(directory, f"{single}.index.json")
        missing = [path.name for path in shards if not path.is_file()]
        if shards and len(missing) < len(shards):
            if missing:
                raise CorruptArtifactError(f"{directory}: {missing[0]} is missing; fetch the model again")
            return shards
    return []


def _indexed(directory: Path, index: str) -> list[Path]:
    """The files that an index of weights names; empty where there is no index."""
    content = read_json(directory / index)
    if content is None:
        return []
    try:
        return [inside(directory, name) for name in sorted(set(content["weight_map"].values()))]
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptArtifactError(
            f"{directory / index}: no index of weights; fetch the model again"
        ) from error


def _refuse_compressed(path: Path) -> None:
    """torch never compresses what it saves: a compressed file is made to unpack to more than there is memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    except zipfile.BadZipFile:
        return  # of an old torch, or damaged; whoever loads it will tell
    if compressed:
        raise CorruptArtifactError(
            f"{path}: is compressed, as torch does not save; convert it to safetensors"
        )


def tokenizer_files(directory: Path) -> list[Path]:
    """The files that a tokenizer is built from."""
    return sorted(path for pattern in _TOKENIZER for path in directory.glob(pattern))


def hash_files(paths: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each file, by name.

    In the hub's cache a large file is a link to a blob that is named by its SHA-256: the name is taken, which
    spares reading tens of gigabytes. (Small files are named by git's SHA-1 and are read.)
    """
    return {path.name: _sha256(path) for path in paths}


def _sha256(path: Path) -> str:
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name):
        return blob.name
    found = blob.stat()
    if time_ns() - found.st_mtime_ns < _SETTLED_NS:
        return _digest(blob)
    return _digest_once(blob, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=1024)
def _digest_once(path: Path, *_: int) -> str:
    """Once a process while size, times and inode stay: a sweep opens the same gigabytes for every cell."""
    return _digest(path)
