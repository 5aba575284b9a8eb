"""Hashed n-gram counts as an encoder."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from scipy.sparse import csr_array, vstack

from fusionapp.adapters.lexical.ngrams import VERSION, NGrams, find_ngrams, normalise
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan, Json
from fusionapp.domain.errors import UsageError

_BATCH_CHARACTERS = 1 << 19
"""Characters hashed at once: some 100 bytes of intermediate arrays each."""


class LexicalEncoder(Encoder):
    """Counts hashed word n-grams and character n-grams: sparse, deterministic, without a model.

    Counts are raw; sublinear TF and IDF are fitted on training texts and belong to the head. No text is ever
    cut, and none fails: a blank one is a row without entries.
    """

    def __init__(
        self,
        word_ngrams: tuple[int, int] = (1, 2),
        char_ngrams: tuple[int, int] = (2, 5),
        dim: int = 2**20,
    ) -> None:
        """State the n-grams and the number of columns.

        Args:
            word_ngrams: shortest and longest run of words, at least 1.
            char_ngrams: shortest and longest run of characters within a word, its boundaries included.
            dim: columns that n-grams are hashed into.

        Raises:
            UsageError: a range is empty, or dim is not in 1..2**31 - 1.
        """
        for name, (low, high) in (("word_ngrams", word_ngrams), ("char_ngrams", char_ngrams)):
            if not 1 <= low <= high:
                raise UsageError(f"{name}: [{low}, {high}] is no range; use [shortest, longest], from 1 up")
        if not 1 <= dim < 2**31:
            raise UsageError(f"dim: {dim} must be between 1 and {2**31 - 1}; 1048576 is the default")
        self._word_ngrams = word_ngrams
        self._char_ngrams = char_ngrams
        self._dim = dim

    @property
    def identity(self) -> Mapping[str, Json]:
        """The hashing scheme, its sizes, and Python's Unicode tables, on which lower case depends."""
        return {
            "adapter": "lexical",
            "version": VERSION,
            "unicode": unicodedata.unidata_version,
            "word_ngrams": list(self._word_ngrams),
            "char_ngrams": list(self._char_ngrams),
            "dim": self._dim,
        }

    @property
    def shape(self) -> EmbeddingShape:
        """One sparse layer of `dim` columns."""
        return EmbeddingShape(layers=1, dim=self._dim, sparse=True)

    @property
    def choices(self) -> Sequence[str]:
        """What is counted."""
        words, characters = self._word_ngrams, self._char_ngrams
        return (
            "model: none; hashed n-grams, raw counts (TF and IDF belong to the head)",
            f"n-grams: words {words[0]} to {words[1]}, characters {characters[0]} to {characters[1]}, "
            f"in {self._dim} columns",
            "text: Unicode NFKC, lower case; never truncated",
        )

    def plan(self, rows: int) -> ExecutionPlan:
        """One thread; `batch_tokens` counts characters."""
        return ExecutionPlan(batch_tokens=_BATCH_CHARACTERS)

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """N-grams of each text, repetitions included."""
        counts: list[int] = []
        for batch in _batches(texts, _BATCH_CHARACTERS):
            counts += np.bincount(self._ngrams(batch).rows, minlength=len(batch)).tolist()
        return counts

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        """Count n-grams: CSR (texts, dim) float32, column indices sorted."""
        parts: list[csr_array] = []
        tokens = 0
        for batch in _batches(texts, plan.batch_tokens):
            ngrams = self._ngrams(batch)
            columns = (ngrams.hashes % np.uint64(self._dim)).astype(np.int32)
            ones = np.ones(len(columns), dtype=np.float32)
            cells = (ngrams.rows.astype(np.int32), columns)
            # csr_array adds up what falls on one cell.
            parts.append(csr_array((ones, cells), shape=(len(batch), self._dim)))
            tokens += len(columns)
            if on_batch is not None:
                on_batch(len(batch), len(columns))
        counts = csr_array(vstack(parts, format="csr") if parts else (0, self._dim), dtype=np.float32)
        counts.sort_indices()
        return Encoding(
            embeddings=counts,
            truncated=np.zeros(len(texts), dtype=bool),
            failed=np.zeros(len(texts), dtype=bool),
            tokens=tokens,
            padded_tokens=tokens,
        )

    def close(self) -> None:
        """Do nothing: there are no weights."""

    def _ngrams(self, texts: Sequence[str]) -> NGrams:
        return find_ngrams(texts, self._word_ngrams, self._char_ngrams)


def _batches(texts: Sequence[str], characters: int) -> Iterator[list[str]]:
    """Normalised texts in input order, at most so many characters at once, a longer text alone."""
    batch: list[str] = []
    size = 0
    for text in map(normalise, texts):
        if batch and size + len(text) > characters:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
