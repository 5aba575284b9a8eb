"""A model behind `/v1/embeddings` as an encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.openai_compatible.address import OPENAI, address_problems, read_address
from fusionapp.adapters.openai_compatible.dims import dim_problems, known_dim
from fusionapp.adapters.openai_compatible.requests import EmbeddingRequests, Part
from fusionapp.adapters.openai_compatible.server import EmbeddingServer
from fusionapp.adapters.openai_compatible.tokens import batches, cut, estimate_tokens
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.catalogue import EncoderCard, find_card
from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan, Json
from fusionapp.domain.errors import ConfigurationError
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.unicode import mend_surrogates

_TOKENS, _TEXTS = 16384, 32
"""A request by default: what OpenAI, text-embeddings-inference (32 texts), vLLM and Ollama all take."""


class OpenAIEncoder(Encoder):
    """Asks a server that speaks OpenAI's `/v1/embeddings`; rows have one layer.

    Nothing is asked before the shape of an unknown model or an embedding is. Texts are cut only where
    `max_length` says so, by an estimate (see `tokens.py`); a server that cuts texts by itself does not say so, and
    such texts are not marked. The texts themselves leave this machine.

    Args:
        model: as the server calls it.
        base_url: what stands before `/embeddings`.
        dimensions: width to ask the server for, where the model can be shortened.
        dim: width of its vectors, where it is known; else found by one request.
        prefix: what stands before each text; None is as the model's card says.
        max_length: most tokens of a text, prefix included, estimated; None never cuts.
        normalize: scale each vector to length 1; None is as the card says, else as the server sends it.
        batch_tokens: most tokens in a request, estimated.
        batch_size: most texts in a request.
        concurrency: most requests at once.
        timeout: seconds until a request counts as failed.
        retries: how often a request that failed is repeated.
        api_key_env: the environment variable that holds the key; None is OPENAI_API_KEY for OpenAI itself, and no
            key for other servers, since another server must not learn OpenAI's.
        allow_http: send the key over plain http to another machine.
        sleep: waits so many seconds, between repeated requests.

    Raises:
        ConfigurationError: an address that would give the key away, or settings that contradict each other.
        UsageError: a width below 1.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = OPENAI,
        dimensions: int | None = None,
        dim: int | None = None,
        prefix: str | None = None,
        max_length: int | None = None,
        normalize: bool | None = None,
        batch_tokens: int | None = None,
        batch_size: int = _TEXTS,
        concurrency: int = 4,
        timeout: float = 60.0,
        retries: int = 5,
        api_key_env: str | None = None,
        allow_http: bool = False,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        if problems := address_problems(base_url, api_key_env, allow_http) + dim_problems(dim, dimensions):
            raise ConfigurationError(problems)
        self._address = read_address(base_url, api_key_env)
        self._model = model
        self._dimensions = dimensions
        card = find_card(model)
        self._known = known_dim(model, dim, dimensions, card)
        self._prefix: str
        self._normalize: bool
        self._prefix, self._why_prefix = _choose(prefix, card, "prefix", "")
        self._normalize, self._why_normalize = _choose(normalize, card, "normalize", False)
        self._max_length = max_length
        self._batch_tokens = batch_tokens or _TOKENS
        self._batch_size = batch_size
        self._concurrency = concurrency
        self._patience: dict[str, Any] = {"timeout": timeout, "retries": retries, "sleep": sleep}

    @property
    def identity(self) -> Mapping[str, Json]:
        """The model, the server that runs it, and what is done to texts and vectors; never the key.

        The same name on another server may be another model, or the same one in another precision.
        """
        return {
            "adapter": "openai",
            "version": 1,
            "model": self._model,
            "server": self._address.base_url,
            "dimensions": self._dimensions,
            "prefix": self._prefix,
            "max_length": self._max_length,
            "normalize": self._normalize,
        }

    @property
    def shape(self) -> EmbeddingShape:
        """One layer. An unknown model is asked once; `dim` spares that.

        Raises:
            UpstreamError: the server refuses or fails.
            UsageError: the key is not in the environment.
        """
        return EmbeddingShape(layers=1, dim=self._dim[0])

    @property
    def choices(self) -> Sequence[str]:
        """Who is asked, with which key's name, for what, and in which portions."""
        dim, why = self._dim
        key = f"read from {self._address.key_name}" if self._address.key_name else "none is sent"
        length = f"{self._max_length} tokens, estimated" if self._max_length else "texts are never cut here"
        return (
            f"model: {self._model} by {self._address.base_url}; texts are sent there",
            f"key: {key}",
            f"dim: {dim} ({why})",
            f"prefix: {self._prefix!r} ({self._why_prefix})",
            f"max length: {length}",
            f"normalize: {'yes' if self._normalize else 'as the server sends them'} ({self._why_normalize})",
            f"requests: {self._concurrency} at once, of at most {self._batch_size} texts and "
            f"{self._batch_tokens} tokens (estimated)",
        )

    def plan(self, rows: int) -> ExecutionPlan:
        """The server computes; `batch_tokens` bounds a request."""
        return ExecutionPlan(device="remote", batch_tokens=self._batch_tokens)

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text, prefix included, estimated."""
        return [estimate_tokens(self._prefix + text) for text in _unicode(texts)]

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        """Embed texts; see the port. A text that the server refuses, or cannot embed finitely, has failed.

        Raises:
            UpstreamError: the server cannot be reached, fails however often it is asked, or answers nonsense.
            UsageError: the key is not in the environment.
        """
        whole, sent = self._portion(texts)
        dim = self.shape.dim
        vectors = np.zeros((len(texts), dim), dtype=np.float32)
        failed: dict[int, str] = {}
        tokens = 0
        for part in self._parts(sent, dim, plan.batch_tokens, on_batch):
            vectors[list(part.rows)] = l2_normalize(part.vectors) if self._normalize else part.vectors
            failed |= part.failed
            tokens += part.tokens
        return Encoding(
            embeddings=vectors[:, None, :],
            truncated=_shorter(sent, whole),
            failed=np.isin(np.arange(len(texts)), list(failed)),
            tokens=tokens,
            padded_tokens=tokens,
            notes=tuple(_notes(failed)),
            reasons=failed,
        )

    def exceeds(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(texts,) True where a text is cut before it is sent."""
        whole, sent = self._portion(texts)
        return _shorter(sent, whole)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the connections, which another process opens anew."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_server", "_requests")}

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._server.close()

    @cached_property
    def _server(self) -> EmbeddingServer:
        return EmbeddingServer(self._address, connections=self._concurrency, **self._patience)

    @cached_property
    def _requests(self) -> EmbeddingRequests:
        return EmbeddingRequests(self._server, self._model, self._dimensions)

    def _portion(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        """Whole texts with the prefix, and what is sent of them."""
        whole = [self._prefix + text for text in _unicode(texts)]
        return whole, whole if self._max_length is None else [cut(text, self._max_length) for text in whole]

    def _parts(
        self,
        texts: Sequence[str],
        dim: int,
        budget: int,
        on_batch: Callable[[int, int], None] | None,
    ) -> list[Part]:
        """Every request's part. The first failure stops the others before their next attempt."""
        stop = Event()
        portions = batches([estimate_tokens(text) for text in texts], budget, self._batch_size)
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="embeddings")
        parts = []
        try:
            asked = [
                pool.submit(self._requests.embed, texts[rows.start : rows.stop], rows, dim, stop)
                for rows in portions
            ]
            for future in as_completed(asked):
                parts.append(future.result())
                if on_batch is not None:
                    on_batch(len(parts[-1].rows), parts[-1].tokens)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
        return parts

    @cached_property
    def _dim(self) -> tuple[int, str]:
        return self._known or (self._requests.probe_dim(), "as the server answers")


def _choose(asked: Any, card: EncoderCard | None, name: str, otherwise: Any) -> tuple[Any, str]:
    """What was asked for, else what the model's card says, with the reason."""
    if asked is not None:
        return asked, "as asked"
    return (otherwise, "nothing asks for it") if card is None else (getattr(card, name), "the model's card")


def _unicode(texts: Sequence[str]) -> list[str]:
    """Texts that UTF-8 can carry: half a surrogate pair becomes U+FFFD, as in every other encoder here."""
    return [text if text.isascii() else mend_surrogates(text) for text in texts]


def _shorter(sent: Sequence[str], whole: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([len(part) < len(text) for part, text in zip(sent, whole, strict=True)], dtype=np.bool_)


def _notes(failed: Mapping[int, str]) -> list[str]:
    """One line a reason, the commonest three."""
    reasons = Counter(failed.values()).most_common()
    lines = [f"{count} {'text' if count == 1 else 'texts'}: {reason}" for reason, count in reasons[:3]]
    return lines if len(reasons) <= 3 else [*lines, f"and {len(reasons) - 3} other reasons"]
