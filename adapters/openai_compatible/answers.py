"""Reading an answer of `/v1/embeddings`, trusting nothing of it."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.openai_compatible.failures import FaultError
from fusionapp.domain.errors import UpstreamError


@attrs.frozen(eq=False)
class Answer:
    """What a server said of the texts of one request.

    Attributes:
        vectors: (texts, dim) float32 in the order of the request; not necessarily finite.
        tokens: how many tokens the server counted; None where it does not say.
    """

    vectors: NDArray[np.float32]
    tokens: int | None


def answer_limit(texts: int, dim: int) -> int:
    """Bytes that the answer to so many texts may have: an indented decimal number takes some 40."""
    return (1 << 20) + texts * (64 * dim + 1024)


def read_answer(content: bytes, texts: int, dim: int | None) -> Answer:
    """The vectors, each where its ``index`` says, from base64 (float32, little-endian) or lists of numbers.

    Args:
        content: the body.
        texts: how many were sent.
        dim: how wide a vector must be; None takes the first one's width.

    Raises:
        FaultError: not JSON, not an answer, or items are missing, come twice or were not asked for.
        UpstreamError: vectors of another width.
    """
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FaultError("the answer is no JSON, or is cut short") from error
    items = whole.get("data") if isinstance(whole, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise FaultError("the answer has no list of embeddings in `data`")
    found = _by_index(items, texts)
    vectors = [_vector(item.get("embedding")) for item in found]
    expected = len(vectors[0]) if dim is None and vectors else dim
    for vector in vectors:
        if len(vector) != expected:
            raise UpstreamError(
                f"vectors of {len(vector)} numbers came where {expected} were expected; set dim = {len(vector)} "
                "if that is what this model gives"
            )
    usage = whole.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    counted = isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < 1 << 40
    return Answer(np.stack(vectors), tokens if counted else None)


def _by_index(items: list[dict[str, Any]], texts: int) -> list[dict[str, Any]]:
    """The items in the order of the request."""
    placed: dict[int, dict[str, Any]] = {}
    for item in items:
        index = item.get("index")
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < texts:
            raise FaultError(f"the answer has an item of index {index!r:.40} for {texts} texts")
        if index in placed:
            raise FaultError(f"the answer has two items of index {index}")
        placed[index] = item
    if len(placed) < texts:
        missing = next(index for index in range(texts) if index not in placed)
        raise FaultError(f"the answer has {len(placed)} items for {texts} texts; index {missing} is missing")
    return [placed[index] for index in range(texts)]


def _vector(embedding: Any) -> NDArray[np.float32]:
    """(dim,) float32. A null is what some servers make of a NaN."""
    try:
        if isinstance(embedding, str):
            vector = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float32)
        elif isinstance(embedding, list) and all(_is_number(number) for number in embedding):
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is looked for later
                vector = np.array(embedding, dtype=np.float64).astype(np.float32)
        else:
            raise FaultError("an item's embedding is neither base64 nor a list of numbers")
    except (binascii.Error, ValueError, OverflowError) as error:
        raise FaultError("an item's embedding cannot be decoded") from error
    if not len(vector):
        raise FaultError("an item's embedding is empty")
    return vector


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
