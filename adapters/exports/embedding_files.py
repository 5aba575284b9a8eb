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
        self._check(rows)
        place = Path(path)
        described, named = place.with_suffix(".json"), place.with_suffix(".ids.jsonl")
        if place in (described, named):
            raise UsageError(f"{path}: the name of the metadata; give the file another suffix than .json")
        paths = [place, described]
        if rows.ids is not None and self.format not in WITH_IDS:
            paths.append(named)
        about = {
            **metadata,
            "format": self.format,
            "file": place.name,
            "ids": named.name if named in paths else None,
        }
        with whole_files(paths) as files:
            FORMATS[self.format](files[0], rows, str(metadata.get("model_name", "")))
            files[1].write(json.dumps(about, indent=1).encode() + b"\n")
            if named in paths:
                _write_ids(files[2], rows)
        return [str(one) for one in paths]

    def _check(self, rows: EmbeddingRows) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"format {self.format!r} is not one of {', '.join(FORMATS)}")
        sparse = rows.shape.sparse
        if sparse != (self.format == "npz"):
            fitting = "npz" if sparse else ", ".join(name for name in FORMATS if name != "npz")
            raise UsageError(
                f"format {self.format!r} does not hold {'sparse' if sparse else 'dense'} embeddings; use {fitting}"
            )


def _write_ids(file: IO[bytes], rows: EmbeddingRows) -> None:
    assert rows.ids is not None
    for numbers, _ in rows.blocks():
        for number, one in zip(numbers.tolist(), rows.ids(numbers), strict=True):
            file.write(json.dumps({"index": number, **one}, ensure_ascii=False).encode() + b"\n")
