"""Dropout for networks of several seeds that are computed at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_FULL_RANGE = -(2**63)
"""`Tensor.random_` from here on fills all 64 bits; its default leaves the sign bit at 0."""


class SeedDropout(nn.Module):
    """Dropout whose draws for one seed do not depend on the other seeds.

    Eight decisions are cut from each 64-bit draw: one Bernoulli call per seed and batch took ten times as long
    (36 ms against 3.6 ms for 5 x 256 x 2368). The rate is therefore rounded to a multiple of 1/256.

    Attributes:
        streams: each seed's generator, on the device of the inputs; whoever trains sets them.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.threshold = min(round(rate * 256), 255)
        self.streams: Sequence[torch.Generator] = ()

    def forward(self, x: Tensor) -> Tensor:
        """(seeds, ...) -> the same shape: dropped or scaled by 1 / (1 - rate); x itself in evaluation."""
        if not self.training or not self.threshold:
            return x
        numbers = x[0].numel()
        words = torch.empty(len(self.streams), -(-numbers // 8), dtype=torch.int64, device=x.device)
        for row, stream in zip(words, self.streams, strict=True):
            row.random_(_FULL_RANGE, None, generator=stream)
        kept = words.view(torch.uint8)[:, :numbers] >= self.threshold
        return x * kept.to(x.dtype).mul_(256 / (256 - self.threshold)).view_as(x)
