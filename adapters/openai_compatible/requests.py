"""What one model on one server is asked, and what is done where it refuses."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import partial
from threading import Event, Lock

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.openai_compatible.answers import Answer, answer_limit, read_answer
from fusionapp.adapters.openai_compatible.failures import RefusedError
from fusionapp.adapters.openai_compatible.server import EmbeddingServer
from fusionapp.adapters.openai_compatible.tokens import estimate_tokens

logger = logging.getLogger(__name__)

PROBE = "a"
"""A text that any model embeds: where even this one is refused, it is the request that is wrong."""

_WIDEST = 1 << 16


@attrs.frozen(eq=False)
class Part:
    """Embeddings of some of a shard's texts.

    Attributes:
        rows: positions in the shard.
        vectors: (rows, dim) float32; zeros where one failed.
        tokens: counted by the server, or estimated.
        failed: why, for each position that has no embedding.
    """

    rows: Sequence[int]
    vectors: NDArray[np.float32]
    tokens: int
    failed: dict[int, str]


class EmbeddingRequests:
    """Embeds texts in requests that the server accepts, halving those that it refuses.

    Args:
        server: who is asked.
        model: as the server calls it.
        dimensions: width to ask for; None leaves the parameter out.
    """

    def __init__(self, server: EmbeddingServer, model: str, dimensions: int | None) -> None:
        self._server = server
        self._model = model
        self._dimensions = dimensions
        self._format = "base64"
        self._accepted = False
        self._most_texts: int | None = None
        self._lock = Lock()

    def probe_dim(self) -> int:
        """The width of this model's vectors, found by one request, in numbers that nothing can misread.

        Raises:
            UpstreamError: the server refuses or fails.
        """
        return int(self._ask([PROBE], None, "float", Event()).vectors.shape[1])

    def embed(self, texts: Sequence[str], rows: Sequence[int], dim: int, stop: Event) -> Part:
        """Embed `texts`, which stand at `rows` of a shard.

        A text that the server refuses alone, or twice embeds with numbers that are not finite, has failed.

        Raises:
            UpstreamError: the server fails, or refuses whatever it is asked.
        """
        if self._most_texts is None or len(texts) <= self._most_texts:
            sent = self._format
            try:
                return self._whole(texts, rows, dim, stop)
            except RefusedError as refused:
                if self._settle(refused, sent, dim, stop):
                    return self.embed(texts, rows, dim, stop)
                if len(texts) == 1:
                    return _refused_alone(texts[0], rows, dim, refused)
        return self._halves(texts, rows, dim, stop)

    def _whole(self, texts: Sequence[str], rows: Sequence[int], dim: int, stop: Event) -> Part:
        answer = self._ask(texts, dim, self._format, stop)
        self._accepted = True
        vectors = answer.vectors
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
        if bad:
            again = self._ask([texts[place] for place in bad], dim, self._format, stop)
            vectors[bad] = again.vectors
            bad = [place for place in bad if not np.isfinite(vectors[place]).all()]
            vectors[bad] = 0.0
        tokens = answer.tokens if answer.tokens is not None else sum(map(estimate_tokens, texts))
        return Part(rows, vectors, tokens, {rows[place]: "the server twice gave NaN or Inf" for place in bad})

    def _halves(self, texts: Sequence[str], rows: Sequence[int], dim: int, stop: Event) -> Part:
        half = len(texts) // 2
        first = self.embed(texts[:half], rows[:half], dim, stop)
        second = self.embed(texts[half:], rows[half:], dim, stop)
        most = len(texts) - half
        if not first.failed and not second.failed and most < (self._most_texts or len(texts)):
            # No text was at fault, so it was their number or their tokens: later requests are smaller at once.
            self._most_texts = most
            logger.info("the server refuses %d texts a request; at most %d from here on", len(texts), most)
        return Part(
            [*first.rows, *second.rows],
            np.concatenate([first.vectors, second.vectors]),
            first.tokens + second.tokens,
            first.failed | second.failed,
        )

    def _settle(self, refused: RefusedError, sent: str, dim: int, stop: Event) -> bool:
        """Find out whether the texts or the request was refused; True where it should be sent again.

        Nothing is split before one request has been accepted: a wrong parameter would cost two requests a text
        and leave every text out. Some servers refuse base64, which is asked for because it is exact and short.

        Raises:
            RefusedError: whatever is asked is refused.
        """
        with self._lock:
            if not self._accepted:
                for encoding in dict.fromkeys((self._format, "float")):
                    try:
                        self._ask([PROBE], dim, encoding, stop)
                    except RefusedError:
                        continue
                    self._accepted, self._format = True, encoding
                    break
                else:
                    raise refused
            return self._format != sent

    def _ask(self, texts: Sequence[str], dim: int | None, encoding: str, stop: Event) -> Answer:
        body: dict[str, object] = {"model": self._model, "input": list(texts), "encoding_format": encoding}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        return self._server.ask(
            json.dumps(body, ensure_ascii=False).encode(),
            answer_limit(len(texts), dim or _WIDEST),
            partial(read_answer, texts=len(texts), dim=dim),
            stop,
        )


def _refused_alone(text: str, rows: Sequence[int], dim: int, refused: RefusedError) -> Part:
    size = f"{len(text):,} characters, about {estimate_tokens(text):,} tokens"
    reason = f"refused by {refused} ({size}; max_length cuts texts)"
    return Part(rows, np.zeros((1, dim), dtype=np.float32), 0, {rows[0]: reason})
