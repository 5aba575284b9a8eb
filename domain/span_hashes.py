"""Hashes of any spans of a sequence, each in constant time."""

from __future__ import annotations

from functools import cache

import attrs
import numpy as np
from numpy.typing import NDArray

BASE = 0x01000193
_INVERSE = pow(BASE, -1, 2**32)
Hashes = NDArray[np.uint32]
_KEPT = 2**21
"""Powers of sequences no longer than this are kept between calls: 16 MiB for both bases."""


@attrs.frozen(eq=False)
class SpanHashes:
    """Polynomial hashes modulo 2^32 by prefix sums (Karp and Rabin 1987); a span's depends on that span alone.

    Attributes:
        sums: (length + 1,) uint32, of every prefix.
    """

    sums: Hashes

    @classmethod
    def of(cls, codes: NDArray[np.unsignedinteger]) -> SpanHashes:
        """Prepare a sequence of codes (length,), each below 2^32 - 1."""
        terms = codes.astype(np.uint32)
        terms += np.uint32(1)
        terms *= _powers(BASE, len(codes))
        sums = np.zeros(len(codes) + 1, dtype=np.uint32)
        np.cumsum(terms, dtype=np.uint32, out=sums[1:])
        return cls(sums)

    def between(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Hashes:
        """(spans,) of ``codes[start:stop]`` each."""
        spans = self.sums[stops] - self.sums[starts]
        spans *= _powers(_INVERSE, len(self.sums))[starts]
        return spans


def _powers(base: int, count: int) -> Hashes:
    """(count,) base^0, base^1, ...: not to be written to."""
    return _kept_powers(base)[:count] if count <= _KEPT else _new_powers(base, count)


@cache
def _kept_powers(base: int) -> Hashes:
    return _new_powers(base, _KEPT)


def _new_powers(base: int, count: int) -> Hashes:
    factors = np.full(count, base, dtype=np.uint32)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint32)
