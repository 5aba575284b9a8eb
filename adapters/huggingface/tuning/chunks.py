"""Cutting a pool of texts into chunks whose activations are held at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Chunk = Sequence[NDArray[np.int64]]
"""Batches of texts, as positions; a chunk's activations are held until its gradient is taken."""

_CPU_TOKENS, _GPU_TOKENS = 1024, 16384

_FILLED = 0.9
"""A batch is closed where a text is shorter than this share of its longest: padding stays below a tenth."""


def enough_tokens(device: torch.device) -> int:
    """Tokens from which on a batch is worth its launch: few on a CPU, where they stay in its cache."""
    return _GPU_TOKENS if device.type == "cuda" else _CPU_TOKENS


def cut_chunks(lengths: NDArray[np.int64], budget: int, batch_tokens: int) -> list[Chunk]:
    """Chunks of at most `budget` tokens, each a few batches of texts of like length.

    Padding to one length would compute up to twice the tokens, as queries are short and documents long; batches of
    like length pad next to nothing, however long a chunk is.

    Args:
        lengths: (texts,) int64 tokens of each text.
        budget: most tokens of a chunk, padding included; a longer text stands alone.
        batch_tokens: tokens from which on a batch is closed for a little padding, and twice of which it never
            holds.

    Returns:
        Chunks of positions into `lengths`, the longest texts last: what is left for a last chunk is small, and the
        chunk that comes last is the one that GradCache computes once only. Together every position once.
    """
    order = np.argsort(-lengths, kind="stable")
    chunks: list[list[NDArray[np.int64]]] = [[]]
    spent = start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        if spent and spent + longest > budget:
            chunks.append([])
            spent = 0
        rows = max(1, min(budget - spent, 2 * batch_tokens) // longest)
        stop = _close(lengths, order[start : start + rows], batch_tokens)
        chunks[-1].append(order[start : start + stop])
        spent += stop * longest
        start += stop
    return [chunk for chunk in reversed(chunks) if chunk]


def _close(lengths: NDArray[np.int64], rows: NDArray[np.int64], batch_tokens: int) -> int:
    """How many of these rows, longest first, the batch takes."""
    longest = max(1, int(lengths[rows[0]]))
    enough = -(-batch_tokens // longest)
    if len(rows) <= enough:
        return len(rows)
    short = np.flatnonzero(lengths[rows[enough:]] < _FILLED * longest)
    return enough + int(short[0]) if len(short) else len(rows)
