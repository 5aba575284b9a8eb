"""An encoder and a store for fusionapp, as another package would bring them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.application.ports.embedding_store import EmbeddingStore
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan
from fusionapp.domain.settings import setting


@attrs.frozen
class LetterEncoder(Encoder):
    """Counts how often each letter of an alphabet stands in a text.

    Attributes:
        alphabet: the letters, one dimension each.
    """

    alphabet: str

    @property
    def identity(self) -> Mapping[str, Any]:
        """The alphabet: nothing else changes a vector."""
        return {"adapter": "letters", "version": 1, "alphabet": self.alphabet}

    @property
    def shape(self) -> EmbeddingShape:
        """One layer, a number a letter."""
        return EmbeddingShape(layers=1, dim=len(self.alphabet))

    @property
    def choices(self) -> Sequence[str]:
        """What is counted."""
        return (f"letters: {self.alphabet}",)

    def plan(self, rows: int) -> ExecutionPlan:
        """There is nothing to decide."""
        return ExecutionPlan()

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Characters of each text."""
        return [len(text) for text in texts]

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        """Count: (texts, 1, letters) float32."""
        counts = [[text.lower().count(letter) for letter in self.alphabet] for text in texts]
        characters = sum(map(len, texts))
        if on_batch is not None:
            on_batch(len(texts), characters)
        return Encoding(
            embeddings=np.array(counts, dtype=np.float32).reshape(len(texts), 1, len(self.alphabet)),
            truncated=np.zeros(len(texts), dtype=np.bool_),
            failed=np.zeros(len(texts), dtype=np.bool_),
            tokens=characters,
            padded_tokens=characters,
        )

    def close(self) -> None:
        """There are no weights to free."""


@attrs.frozen
class LetterSettings:
    """The ``[encoders.NAME]`` table with `adapter = "letters"`."""

    adapter: Literal["letters"] = setting("which adapter encodes", "letters")
    alphabet: str = setting("letters to count", "abcdefghijklmnopqrstuvwxyz")

    def build(self) -> Encoder:
        """The encoder that the table describes."""
        return LetterEncoder(self.alphabet)


def single_store(root: str) -> EmbeddingStore:
    """`adapter = "single"`: npy files in a folder of their own."""
    return FileEmbeddingStore(Path(root) / "single", "npy")
