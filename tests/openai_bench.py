"""An encoder over a fake server, and what it must give."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from fakes.embedding_server import EmbeddingServer, vector
from numpy.typing import NDArray

from fusionapp.adapters.openai_compatible.encoder import OpenAIEncoder
from fusionapp.domain.embeddings import Encoding

TEXTS = [f"text number {number}" for number in range(10)]


@attrs.frozen
class Bench:
    """An encoder and the pauses that it would have made."""

    encoder: OpenAIEncoder
    slept: list[float]

    def embed(self, texts: list[str] = TEXTS) -> Encoding:
        try:
            return self.encoder.encode(texts, self.encoder.plan(len(texts)))
        finally:
            self.encoder.close()


def bench(server: EmbeddingServer, **settings: Any) -> Bench:
    slept: list[float] = []
    defaults: dict[str, Any] = {"model": "m", "base_url": server.base_url, "dim": 8, "concurrency": 1}
    return Bench(OpenAIEncoder(**(defaults | settings), sleep=slept.append), slept)


def dense(encoding: Encoding) -> NDArray[np.float32]:
    assert isinstance(encoding.embeddings, np.ndarray)
    return encoding.embeddings


def expected(texts: list[str] = TEXTS, dim: int = 8) -> NDArray[np.float32]:
    return np.stack([vector(text, dim) for text in texts])[:, None, :]
