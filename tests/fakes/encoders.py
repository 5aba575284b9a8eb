"""Encoders without a model: vectors are a hash of the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan, Json
from fusionapp.domain.errors import TextTooLongError


class CountingEncoder(Encoder):
    """Embeds a text as numbers drawn from its own hash, a word a token, and counts what it is asked for.

    A fake that does more than count overrides `before` or `after`.

    Attributes:
        calls: how often `encode` was called.
        encoded: every text that was encoded, in order.
        closed: how often `close` was called.
    """

    def __init__(
        self,
        layers: int = 2,
        dim: int = 8,
        *,
        max_length: int = 64,
        batch_tokens: int = 1024,
        name: str = "a",
    ) -> None:
        self.calls = 0
        self.encoded: list[str] = []
        self.closed = 0
        self._layers = layers
        self._dim = dim
        self._max_length = max_length
        self._batch_tokens = batch_tokens
        self._name = name

    @property
    def identity(self) -> Mapping[str, Json]:
        return {
            "adapter": "counting",
            "name": self._name,
            "layers": self._layers,
            "dim": self._dim,
            "max_length": self._max_length,
        }

    @property
    def shape(self) -> EmbeddingShape:
        return EmbeddingShape(layers=self._layers, dim=self._dim)

    @property
    def choices(self) -> Sequence[str]:
        return (f"model: a fake called {self._name}",)

    def plan(self, rows: int) -> ExecutionPlan:
        return ExecutionPlan(batch_tokens=self._batch_tokens)

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return [len(text.split()) for text in texts]

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        self.before(texts, plan)
        self.calls += 1
        self.encoded.extend(texts)
        words = [text.split() for text in texts]
        kept = [text[: self._max_length] for text in words]
        tokens = sum(map(len, kept))
        vectors = np.zeros((len(texts), self._layers, self._dim), dtype=np.float32)
        for row, text in enumerate(kept):
            vectors[row] = self._vector(" ".join(text))
        if texts and on_batch is not None:
            on_batch(len(texts), tokens)
        encoding = Encoding(
            embeddings=vectors,
            truncated=np.array([len(text) > self._max_length for text in words], dtype=bool),
            failed=np.zeros(len(texts), dtype=bool),
            tokens=tokens,
            padded_tokens=tokens,
        )
        return self.after(texts, encoding)

    def before(self, texts: Sequence[str], plan: ExecutionPlan) -> None:
        """Called first by `encode`, which counts nothing where it raises."""

    def after(self, texts: Sequence[str], encoding: Encoding) -> Encoding:
        """What `encode` gives in place of an encoding."""
        return encoding

    def exceeds(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        return np.array([len(text.split()) > self._max_length for text in texts], dtype=np.bool_)

    def close(self) -> None:
        self.closed += 1

    def _vector(self, text: str) -> np.ndarray:
        digest = sha256(f"{self._name}\0{text}".encode("utf-8", "surrogatepass")).digest()
        seed = int.from_bytes(digest[:8], "little")
        return np.random.default_rng(seed).standard_normal((self._layers, self._dim), dtype=np.float32)


class FailingEncoder(CountingEncoder):
    """A `CountingEncoder` that cannot encode texts with a mark in them.

    It says so as the port wants, zeros and `failed`, with a `reason` where it has one; with `silent` it returns
    NaN and says nothing, as a broken adapter would.
    """

    def __init__(
        self,
        mark: str = "FAIL",
        *,
        silent: bool = False,
        reason: str | None = None,
        layers: int = 2,
        dim: int = 8,
    ) -> None:
        super().__init__(layers, dim)
        self._mark = mark
        self._silent = silent
        self._reason = reason

    def after(self, texts: Sequence[str], encoding: Encoding) -> Encoding:
        bad = np.array([self._mark in text for text in texts], dtype=bool)
        vectors = np.asarray(encoding.embeddings)
        vectors[bad] = np.nan if self._silent else 0.0
        failed = np.zeros_like(bad) if self._silent else bad
        reasons = dict.fromkeys(np.flatnonzero(bad).tolist(), self._reason) if self._reason else {}
        return attrs.evolve(encoding, failed=failed, reasons=reasons)


class RefusingEncoder(CountingEncoder):
    """A `CountingEncoder` that takes one text for too long, and must not cut it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def before(self, texts: Sequence[str], plan: ExecutionPlan) -> None:
        if self._text in texts:
            raise TextTooLongError("is too long", list(texts).index(self._text))
