"""Hashes of any spans of a sequence, each in constant time."""

from __future__ import annotations

from functools import cache
from typing import Generic, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

BASE = 0x01000193
"""Of 32 bits; a base is odd, hence invertible."""
_KEPT = 2**20
"""Powers of sequences no longer than this are kept between calls: 4 or 8 MiB for each base and its inverse."""
Unsigned = TypeVar("Unsigned", np.uint32, np.uint64)


@attrs.frozen(eq=False)
class SpanHashes(Generic[Unsigned]):
    """Polynomial hashes modulo 2^32 or 2^64 by prefix sums (Karp and Rabin 1987); a span's depends on it alone.

    Attributes:
        sums: (length + 1,) of every prefix.
        inverse: of the base.
    """

    sums: NDArray[Unsigned]
    inverse: int

    @classmethod
    def of(cls, terms: NDArray[Unsigned], base: int) -> SpanHashes[Unsigned]:
        """Prepare a sequence of terms (length,), none of which should be 0; the dtype says the modulus."""
        sums = np.zeros(len(terms) + 1, dtype=terms.dtype)
        np.cumsum(terms * _powers(base, len(terms), terms.dtype), dtype=terms.dtype, out=sums[1:])
        return cls(sums, pow(base, -1, 2 ** (8 * terms.itemsize)))

    def between(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[Unsigned]:
        """(spans,) of ``terms[start:stop]`` each."""
        spans: NDArray[Unsigned] = self.sums[stops] - self.sums[starts]
        spans *= _powers(self.inverse, len(self.sums), self.sums.dtype)[starts]
        return spans


def hash_spans(codes: NDArray[np.unsignedinteger]) -> SpanHashes[np.uint32]:
    """Hashes of 32 bits of spans of codes (length,), each below 2^32 - 1."""
    return SpanHashes.of(np.add(codes, 1, dtype=np.uint32), BASE)


def _powers(base: int, count: int, dtype: np.dtype[Unsigned]) -> NDArray[Unsigned]:
    """(count,) base^0, base^1, ...: not to be written to."""
    return _kept_powers(base, dtype)[:count] if count <= _KEPT else _new_powers(base, count, dtype)


@cache
def _kept_powers(base: int, dtype: np.dtype[Unsigned]) -> NDArray[Unsigned]:
    return _new_powers(base, _KEPT, dtype)


def _new_powers(base: int, count: int, dtype: np.dtype[Unsigned]) -> NDArray[Unsigned]:
    factors = np.full(count, base, dtype=dtype)
    factors[:1] = 1
    return np.cumprod(factors, dtype=dtype)
