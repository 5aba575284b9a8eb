"""Turning texts into embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan, Json


class Encoder(Protocol):
    """One encoder. Building it is cheap: weights are loaded by the first `encode` and freed by `close`.

    It can be pickled, to be sent to another process, which loads weights of its own.
    """

    @property
    def identity(self) -> Mapping[str, Json]:
        """Everything but the texts that changes a vector: weights' hash, layers, pooling, prefix, ...

        Read from configuration and file hashes alone; no weights are loaded.
        """

    @property
    def shape(self) -> EmbeddingShape:
        """The shape of one text's embedding, known before weights are loaded."""

    @property
    def choices(self) -> Sequence[str]:
        """What was chosen and why, one line each: pooling, prefix, max length, dtype, device."""

    def plan(self, rows: int) -> ExecutionPlan:
        """Decide how a job of that many texts is computed."""

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """What each text costs, in tokens before truncation (n-grams for a lexical encoder). Loads no weights."""

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        """Embed texts. A text's vector does not depend on its neighbours beyond rounding.

        `on_batch(texts, tokens)` is called after each batch, for progress.

        Raises:
            UpstreamError: the model cannot be fetched.
            ResourceError: one text alone does not fit in memory.
            TextTooLongError: a text would be cut, and is not to be.
        """

    def stream(
        self,
        parts: Iterable[Sequence[str]],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Iterator[Encoding]:
        """What `encode` gives for each part, in order; an encoder may read ahead to work on several at once."""
        for texts in parts:
            yield self.encode(texts, plan, on_batch)

    def exceeds(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(texts,) True where `encode` would cut the text. Loads no weights."""
        return np.zeros(len(texts), dtype=np.bool_)

    def measure(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(texts,) what `count_tokens` says and (texts,) what `exceeds` says, for one count where possible."""
        return np.asarray(self.count_tokens(texts), dtype=np.int64), self.exceeds(texts)

    def close(self) -> None:
        """Free the weights; the encoder loads them again when it is next used."""
