"""Embeddings as .npy, .npz, .jsonl, .parquet, .pt or .safetensors, each beside a .json of metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import attrs

from fusionapp.adapters.exports.csr_archive import write_npz
from fusionapp.adapters.exports.matrices import write_npy, write_pt, write_safetensors
from fusionapp.adapters.exports.records import write_jsonl, write_parquet
from fusionapp.adapters.exports.whole_files import whole_files
from fusionapp.application.ports.embedding_file import EmbeddingFile, EmbeddingRows
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError

Write = Callable[[IO[bytes], EmbeddingRows, str], None]

FORMATS: Mapping[str, Write] = {
    "npy": write_npy,
    "npz": write_npz,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "pt": write_pt,
    "safetensors": write_safetensors,
}
SPARSE = "npz"
"""The one format of sparse embeddings, which holds no others."""

WITH_IDS = ("jsonl", "parquet")


@attrs.frozen
class FormattedEmbeddingFile(EmbeddingFile):
    """One of the formats, chosen by name.

    One layer is written as (rows, dim), several as (rows, layers, dim). A sparse embedding fits .npz alone (a
    CSR matrix that `scipy.sparse.load_npz` reads). In .jsonl and .parquet each row carries its id columns; beside
    the others they stand in ``NAME.ids.jsonl``, a line a row, where the dataset has any.

    Attributes:
        format: "npy", "npz", "jsonl", "parquet", "pt" or "safetensors".
    """

    format: str

    def write(self, path: str, rows: EmbeddingRows, metadata: Mapping[str, Json]) -> Sequence[str]:
        """Write the file, its ids and its metadata: all of them whole, or none."""
        _check(self.format, rows)
        place = Path(path)
        described, named = place.with_suffix(".json"), place.with_suffix(".ids.jsonl")
        if place in (described, named):
            raise UsageError(f"{path}: the name of the metadata; give the file another suffix than .json")
        _refuse_foreign(described)
        return _write({self.format: place}, described, named, rows, metadata)


@attrs.frozen
class EmbeddingFileSet(EmbeddingFile):
    """The same embeddings in several formats, with one file of metadata and one of ids for all.

    The path that is written to is the beginning of every name: ``NAME.npy``, ``NAME.jsonl``, ``NAME.json``.

    Attributes:
        formats: each as `FormattedEmbeddingFile` writes it.
    """

    formats: Sequence[str]

    def write(self, path: str, rows: EmbeddingRows, metadata: Mapping[str, Json]) -> Sequence[str]:
        """Write every format, the ids and the metadata: all of them whole, or none."""
        for form in self.formats:
            _check(form, rows)
        # The name may hold dots of its own, as bge-large-en-v1.5 does, so that nothing can take a suffix's place.
        files = {form: Path(f"{path}.{form}") for form in self.formats}
        return _write(files, Path(f"{path}.json"), Path(f"{path}.ids.jsonl"), rows, metadata)


def _write(
    places: Mapping[str, Path],
    described: Path,
    named: Path,
    rows: EmbeddingRows,
    metadata: Mapping[str, Json],
) -> Sequence[str]:
    paths = [*places.values(), described]
    if rows.ids is not None and not set(places) <= set(WITH_IDS):
        paths.append(named)
    first = next(iter(places))
    about = {
        **metadata,
        "format": first,
        "file": places[first].name,
        "files": {form: place.name for form, place in places.items()},
        "ids": named.name if named in paths else None,
    }
    model = str(metadata.get("model") or metadata.get("model_name") or "")
    with whole_files(paths) as files:
        for form, file in zip(places, files, strict=False):
            FORMATS[form](file, rows, model)
        files[len(places)].write(json.dumps(about, indent=1).encode() + b"\n")
        if named in paths:
            _write_ids(files[-1], rows)
    return [str(one) for one in paths]


def _refuse_foreign(described: Path) -> None:
    """Metadata goes to a name that was not asked for: what stands there must be an earlier export's.

    A run's own ``embeddings.json`` is lost to `--output RUN/embeddings.npy` otherwise, or a dataset's papers.json.
    """
    if not described.exists():
        return
    try:
        found = json.loads(described.read_bytes())
        if found["file"] in found["files"].values():
            return
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        pass  # it is something else
    raise UsageError(
        f"{described}: is there already, and is not the metadata of an export, which would take its place; give "
        "the export another name"
    )


def _check(form: str, rows: EmbeddingRows) -> None:
    if form not in FORMATS:
        raise UsageError(f"format {form!r} is not one of {', '.join(FORMATS)}")
    sparse = rows.shape.sparse
    if sparse != (form == SPARSE):
        fitting = SPARSE if sparse else ", ".join(name for name in FORMATS if name != SPARSE)
        raise UsageError(
            f"format {form!r} does not hold {'sparse' if sparse else 'dense'} embeddings; use {fitting}"
        )


def _write_ids(file: IO[bytes], rows: EmbeddingRows) -> None:
    assert rows.ids is not None
    for numbers, _ in rows.blocks():
        for number, one in zip(numbers.tolist(), rows.ids(numbers), strict=True):
            file.write(json.dumps({"index": number, **one}, ensure_ascii=False).encode() + b"\n")
