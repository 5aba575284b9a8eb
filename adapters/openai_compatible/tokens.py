"""Counting and cutting by tokens without the server's tokenizer.

A token is taken to be 4 ASCII characters or 3 bytes of UTF-8 beyond ASCII: about right for English in OpenAI's
and BERT's vocabularies, some 1.5 times too many for Cyrillic, one a character for Chinese. Code and long numbers
hold up to twice as many tokens as that says.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_UNITS = 12  # to a token: an ASCII byte has 3, another byte 4


def estimate_tokens(text: str) -> int:
    """Tokens of a text, at least one. Unicode text: half a surrogate pair cannot be encoded."""
    units = 3 * len(text) if text.isascii() else int(_byte_units(text).sum())
    return max(1, -(-units // _UNITS))


def cut(text: str, most: int) -> str:
    """The longest beginning of a text, in whole characters, that is estimated at no more than `most` tokens."""
    if text.isascii():
        return text[: most * _UNITS // 3]
    bytes_kept = int(np.searchsorted(_byte_units(text).cumsum(), most * _UNITS, side="right"))
    return text.encode()[:bytes_kept].decode("utf-8", "ignore")


def batches(tokens: Sequence[int], budget: int, most: int) -> list[range]:
    """Neighbours cut into requests of no more than `budget` tokens and `most` texts; a longer text goes alone."""
    starts: list[int] = []
    held = 0
    for position, size in enumerate(tokens):
        if not starts or held + size > budget or position - starts[-1] >= most:
            starts.append(position)
            held = 0
        held += size
    return [range(start, stop) for start, stop in pairwise([*starts, len(tokens)])]


def _byte_units(text: str) -> NDArray[np.int64]:
    raw = np.frombuffer(text.encode(), dtype=np.uint8)
    return np.where(raw < 0x80, 3, 4).astype(np.int64)
