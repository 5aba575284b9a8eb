"""Texts laid end to end in one row: nothing is padded, and attention stays within each text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@attrs.frozen(eq=False)
class Segments:
    """Where each text of a packed row stands.

    Attributes:
        offsets: (texts + 1,) int32 on the model's device: text i holds tokens [offsets[i], offsets[i + 1]).
        longest: tokens of the longest text.
        groups: runs of neighbours of equal length, as (first token, texts, tokens of each).
    """

    offsets: Tensor
    longest: int
    groups: Sequence[tuple[int, int, int]]

    def to(self, device: torch.device) -> Segments:
        """The same on another device."""
        return attrs.evolve(self, offsets=self.offsets.to(device, non_blocking=True))


@attrs.frozen(eq=False)
class Pack:
    """One row of texts.

    Attributes:
        ids: (1, tokens) int64.
        positions: (1, tokens) int64, counted from 0 within each text.
        segments: where each text stands.
        places: (texts, longest) int64, where token j of text i stands; 0 beyond the text's end.
        mask: (texts, longest) bool, True for the tokens to pool.
    """

    ids: Tensor
    positions: Tensor
    segments: Segments
    places: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> Pack:
        """The same on another device; pinned on the way to a GPU, so that the copy overlaps with computing."""
        if device.type == "cpu":
            return self

        def move(tensor: Tensor) -> Tensor:
            return tensor.pin_memory().to(device, non_blocking=True)

        return Pack(
            move(self.ids),
            move(self.positions),
            attrs.evolve(self.segments, offsets=move(self.segments.offsets)),
            move(self.places),
            move(self.mask),
        )


def pack(ids: Sequence[NDArray[np.int32]], skip: int = 0, size: int | None = None, filler: int = 0) -> Pack:
    """Lay texts end to end.

    Args:
        ids: one array of token ids a text, none empty; neighbours of equal length are computed together.
        skip: leading tokens of each text that take no part in the pooling.
        size: fill the row up to so many tokens, so that every pack has one shape; a longer one stays as it is.
        filler: the token that it is filled with, in texts of its own that are not pooled.
    """
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    longest = int(lengths.max())
    real = int(lengths.sum())
    column = np.arange(longest)[None, :]
    starts = np.concatenate([[0], lengths.cumsum()])
    inside = column < lengths[:, None]
    spare = max(0, (size or 0) - real)
    filled = [min(longest, spare - start) for start in range(0, spare, longest)]
    row = np.concatenate([*ids, np.full(spare, filler)]).astype(np.int64)
    whole = np.concatenate([lengths, np.array(filled, dtype=np.int64)])
    offsets = np.concatenate([[0], whole.cumsum()])
    positions = np.arange(len(row)) - np.repeat(offsets[:-1], whole)
    return Pack(
        ids=torch.from_numpy(row)[None],
        positions=torch.from_numpy(positions)[None],
        segments=Segments(torch.from_numpy(offsets.astype(np.int32)), longest, list(_groups(whole))),
        places=torch.from_numpy(np.where(inside, starts[:-1, None] + column, 0)),
        mask=torch.from_numpy(inside & (column >= skip)),
    )


def filled_size(tokens: int, budget: int) -> int:
    """The next eighth of the budget: few shapes to compile for, and little computed in vain."""
    step = max(1, budget // 8)
    return -(-tokens // step) * step


def _groups(lengths: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    start = first = 0
    for stop in [*(np.flatnonzero(np.diff(lengths)) + 1), len(lengths)]:
        count, length = int(stop) - first, int(lengths[first])
        yield start, count, length
        start, first = start + count * length, int(stop)
