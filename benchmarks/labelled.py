"""Labelled texts of any directory of files, and their embeddings, computed once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, load_npz, save_npz

from fusionapp.adapters.files import FileDatasetSource
from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.lexical.encoder import LexicalEncoder
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.splitting import stratified_validation

NAMES = {"train": ("train",), "validation": ("validation", "valid", "dev"), "test": ("test",)}
SUFFIXES = (".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz", ".parquet")


@attrs.frozen(eq=False)
class Texts:
    """The rows of one split.

    Attributes:
        texts: in file order.
        labels: (rows,) int64 class indices.
    """

    texts: Sequence[str]
    labels: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Texts:
        """Some rows."""
        return Texts([self.texts[row] for row in rows], self.labels[rows])


def read_directory(directory: Path, validation: bool = True) -> tuple[dict[str, Texts], list[str]]:
    """Train, validation and test of a directory that holds a file of each, and the names of the classes.

    Where validation is wanted and there is no file of it, a stratified tenth of train takes its place.
    """
    files = {split: found for split, names in NAMES.items() if (found := _find(directory, names))}
    source = FileDatasetSource(files)
    rows = {split: [(row.text, str(row.label)) for row in source.read(split)] for split in files}
    classes = sorted({label for split in rows.values() for _, label in split})
    index = {label: position for position, label in enumerate(classes)}
    splits = {
        split: Texts([text for text, _ in some], np.array([index[label] for _, label in some], np.int64))
        for split, some in rows.items()
    }
    if validation and "validation" not in splits:
        kept, taken = stratified_validation(splits["train"].labels)
        splits["validation"], splits["train"] = splits["train"].take(taken), splits["train"].take(kept)
    return splits, classes


def write_rows(texts: Texts, path: Path) -> str:
    """Write a split as JSON lines of text and label, and return the path."""
    rows = zip(texts.texts, texts.labels.tolist(), strict=True)
    lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


def encoders(names: Sequence[str] = ("minilm", "lexical")) -> dict[str, Encoder]:
    """Encoders by name: "lexical", else an alias, of which all layers are taken."""
    return {
        name: LexicalEncoder() if name == "lexical" else HuggingFaceEncoder(name, layers="all")
        for name in names
    }


def embed(texts: Texts, by_name: Mapping[str, Encoder], cache: Path) -> LabelledEmbeddings:
    """Embeddings of a split, from the cache where they are there."""
    return LabelledEmbeddings(
        {name: _embed(texts.texts, name, encoder, cache) for name, encoder in by_name.items()}, texts.labels
    )


def _embed(texts: Sequence[str], name: str, encoder: Encoder, cache: Path) -> Embeddings:
    key = blake2b("\0".join([repr(sorted(encoder.identity.items())), *texts]).encode(), digest_size=8)
    path = cache / f"{name}-{key.hexdigest()}"
    dense, sparse = path.with_suffix(".npy"), path.with_suffix(".npz")
    if dense.exists():
        found: Embeddings = np.load(dense)
        return found
    if sparse.exists():
        return csr_array(load_npz(sparse))
    embeddings = encoder.encode(texts, encoder.plan(len(texts))).embeddings
    cache.mkdir(parents=True, exist_ok=True)
    if isinstance(embeddings, np.ndarray):
        np.save(dense, embeddings)
    else:
        save_npz(sparse, embeddings)
    return embeddings


def _find(directory: Path, names: Sequence[str]) -> Path | None:
    places = (directory / f"{name}{suffix}" for name in names for suffix in SUFFIXES)
    return next((path for path in places if path.exists()), None)
