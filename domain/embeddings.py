"""What an embedding is, dense or sparse, and what identifies a stored set of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from json import dumps
from typing import Any, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

Dense: TypeAlias = NDArray[np.float32]
"""(rows, layers, dim) float32."""

Embeddings: TypeAlias = "Dense | csr_array"
"""Dense (rows, layers, dim) float32, or sparse CSR (rows, vocabulary) float32."""

Json: TypeAlias = Any
"""A value that `json.dumps` can write: None, bool, int, float, str, list or dict of these."""


@attrs.frozen
class EmbeddingShape:
    """The shape of one text's embedding.

    Attributes:
        layers: how many views (layers) a text has; 1 for a sparse embedding.
        dim: numbers in each view; the vocabulary's size for a sparse embedding.
        sparse: True for CSR rows.
    """

    layers: int
    dim: int
    sparse: bool = False


@attrs.frozen
class ExecutionPlan:
    """How an encoder computes, decided once from the whole job, stored in the manifest and reused on resume.

    Attributes:
        device: "cpu", "cuda:0", ...
        dtype: compute dtype, "float32" | "bfloat16" | "float16".
        attention: attention path, "packed" | "products" | "sdpa" | "eager"; "none" where there is no attention.
        threads: intra-op CPU threads.
        batch_tokens: most tokens, padding included, that one batch holds.
        compile: whether the forward pass goes through torch.compile.
    """

    device: str = "cpu"
    dtype: str = "float32"
    attention: str = "none"
    threads: int = 1
    batch_tokens: int = 1024
    compile: bool = False


@attrs.frozen(eq=False)
class Encoding:
    """What an encoder makes of a shard's texts.

    Attributes:
        embeddings: (rows, layers, dim) float32 or CSR (rows, vocabulary); one row per text, in input order.
            A row that failed holds zeros.
        truncated: (rows,) bool, True where the text was longer than the encoder's max length.
        failed: (rows,) bool, True where there is no embedding.
        tokens: tokens encoded, special tokens included, padding excluded.
        padded_tokens: tokens computed, padding included.
        notes: what happened on the way (an out-of-memory retry, a retry in float32), one line each.
        reasons: why a row failed, by its position; one that is not named has no finite numbers in any precision
            tried.
        tokenizer_seconds: spent on tokenising.
        peak_device_bytes: most memory taken on a GPU until now; 0 elsewhere.
    """

    embeddings: Embeddings
    truncated: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    tokens: int = 0
    padded_tokens: int = 0
    notes: tuple[str, ...] = ()
    reasons: Mapping[int, str] = attrs.field(factory=dict)
    tokenizer_seconds: float = 0.0
    peak_device_bytes: int = 0


def fingerprint(identity: Mapping[str, Json]) -> str:
    """SHA-256 (64 hex digits) of a JSON document, independent of the order of its keys."""
    return sha256(dumps(identity, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def fingerprint_texts(texts: Iterable[str]) -> str:
    """SHA-256 (64 hex digits) of a sequence of texts: order, boundaries and every character count."""
    digest = sha256()
    for text in texts:
        _add_text(digest, text)
    return digest.hexdigest()


def fingerprint_prefixes(texts: Iterable[str], sizes: Sequence[int]) -> list[str]:
    """`fingerprint_texts` of the first so many texts, for each of the sizes, in one pass.

    Args:
        texts: at least as many as the largest size.
        sizes: ascending, each at least 1.
    """
    digest = sha256()
    found: list[str] = []
    for count, text in enumerate(texts, 1):
        _add_text(digest, text)
        if len(found) < len(sizes) and sizes[len(found)] == count:
            found.append(digest.copy().hexdigest())
        if len(found) == len(sizes):
            break
    return found


def _add_text(digest: Any, text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    digest.update(len(raw).to_bytes(8, "little"))
    digest.update(raw)


def take_rows(embeddings: Embeddings, rows: NDArray[np.int64]) -> Embeddings:
    """Rows of dense or sparse embeddings, in the order asked for."""
    return embeddings[rows]


def stack_rows(parts: Sequence[Embeddings]) -> Embeddings:
    """Embeddings of the same encoder under one another."""
    dense = [part for part in parts if isinstance(part, np.ndarray)]
    if len(dense) == len(parts):
        return np.concatenate(dense)
    return csr_array(vstack([csr_array(part) for part in parts], format="csr"))
