"""Embeddings as .npy, .npz, .jsonl or .parquet, each beside a .json of metadata."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import attrs
import numpy as np
from scipy.sparse import csr_array

from fusionapp.application.ports.embedding_file import EmbeddingFile
from fusionapp.domain.embeddings import Embeddings, Json
from fusionapp.domain.errors import FusionAppError, ResourceError, UsageError

Ids = Sequence[Mapping[str, Json]]
Write = Callable[[IO[bytes], Any, Ids, str], None]


@attrs.frozen
class FormattedEmbeddingFile(EmbeddingFile):
    """One of the formats, chosen by name.

    One layer is written as (rows, dim), several as (rows, layers, dim). A sparse embedding fits .npz alone (a
    CSR matrix that `scipy.sparse.load_npz` reads). In .jsonl and .parquet each row carries its id columns;
    the others keep them in the metadata, under "ids".

    Attributes:
        format: "npy", "npz", "jsonl" or "parquet".
    """

    format: str

    def write(
        self, path: str, embeddings: Embeddings, ids: Ids, metadata: Mapping[str, Json]
    ) -> Sequence[str]:
        """Write the file and its metadata, each whole or not at all."""
        if self.format not in FORMATS:
            raise UsageError(f"format {self.format!r} is not one of {', '.join(FORMATS)}")
        sparse = isinstance(embeddings, csr_array)
        if sparse != (self.format == "npz"):
            fitting = "npz" if sparse else "npy, jsonl or parquet"
            raise UsageError(
                f"format {self.format!r} does not hold {'sparse' if sparse else 'dense'} embeddings; use {fitting}"
            )
        if not isinstance(embeddings, csr_array) and embeddings.shape[1] == 1:
            embeddings = embeddings[:, 0]
        place = Path(path)
        described = place.with_suffix(".json")
        if described == place:
            raise UsageError(f"{path}: the name of the metadata; give the file another suffix than .json")
        about = {**metadata, "format": self.format, "file": place.name}
        if self.format in ("npy", "npz"):
            about["ids"] = [dict(one) for one in ids]
        model = str(metadata.get("model_name", ""))
        _replace(place, lambda file: FORMATS[self.format](file, embeddings, ids, model))
        _replace(described, lambda file: file.write(json.dumps(about, indent=1).encode() + b"\n"))
        return [str(place), str(described)]


def _write_npy(file: IO[bytes], embeddings: Any, ids: Ids, model: str) -> None:
    np.save(file, np.asarray(embeddings, dtype=np.float32), allow_pickle=False)


def _write_npz(file: IO[bytes], embeddings: Any, ids: Ids, model: str) -> None:
    from scipy.sparse import save_npz

    save_npz(file, embeddings)


def _write_jsonl(file: IO[bytes], embeddings: Any, ids: Ids, model: str) -> None:
    for one, vector in zip(ids, embeddings, strict=True):
        row = {**one, "embedding": [float(number) for number in vector.flat], "model": model}
        if vector.ndim > 1:
            row["embedding"] = vector.tolist()
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _write_parquet(file: IO[bytes], embeddings: Any, ids: Ids, model: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {name: [one.get(name) for one in ids] for name in (ids[0] if ids else ())}
    flat = pa.array(np.asarray(embeddings, dtype=np.float32).reshape(-1))
    for length in reversed(embeddings.shape[1:]):
        flat = pa.FixedSizeListArray.from_arrays(flat, length)
    columns["embedding"] = flat
    pq.write_table(pa.table(columns), file)


FORMATS: Mapping[str, Write] = {
    "npy": _write_npy,
    "npz": _write_npz,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}


def _replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write beside the target and rename, so that a reader never sees half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind: type[FusionAppError] = ResourceError if full else UsageError
        raise kind(
            f"{path}: cannot be written: {error.strerror}; free space or choose another place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
