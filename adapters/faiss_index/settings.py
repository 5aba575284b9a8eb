"""Choosing the parameters of a FAISS index from what it will hold."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import attrs

from fusionapp.domain.errors import UsageError

Kind: TypeAlias = Literal["flat", "hnsw", "ivfpq"]

POINTS = 39
"""Fewest training vectors for each centroid of a k-means; FAISS warns below it."""

FEWEST_BITS, MOST_BITS = 4, 8
"""Of a code that is chosen here."""

_WIDE = 256
"""Numbers of a vector from which on a code may stand for four of them."""


@attrs.frozen
class Wishes:
    """What the caller insists on; None is chosen from rows and dim.

    Attributes:
        links: hnsw: neighbours of a node (M).
        ef_construction: hnsw: candidates looked at when a node is added.
        ef_search: hnsw: candidates looked at by a search; k where that is more.
        nlist: ivfpq: lists that vectors are divided into.
        nprobe: ivfpq: lists that a search reads.
        parts: ivfpq: codes of a vector (m); a divisor of dim.
        nbits: ivfpq: bits of a code.
    """

    links: int | None = None
    ef_construction: int | None = None
    ef_search: int | None = None
    nlist: int | None = None
    nprobe: int | None = None
    parts: int | None = None
    nbits: int | None = None


@attrs.frozen
class Hnsw:
    """A graph (Malkov and Yashunin 2018)."""

    links: int
    ef_construction: int
    ef_search: int


@attrs.frozen
class IvfPq:
    """Inverted lists of product codes (Jégou et al. 2011)."""

    nlist: int
    nprobe: int
    parts: int
    nbits: int

    @property
    def training_rows(self) -> int:
        """How many vectors to train on: more no longer help k-means."""
        return 64 * max(self.nlist, 1 << self.nbits)


def choose_hnsw(wishes: Wishes) -> Hnsw:
    """FAISS's own 32 neighbours, with wider searches than its defaults (40 and 16): recall first.

    Raises:
        UsageError: a number is less than 1 (2 for links).
    """
    chosen = Hnsw(_or(wishes.links, 32), _or(wishes.ef_construction, 200), _or(wishes.ef_search, 128))
    if chosen.links < 2 or min(chosen.ef_construction, chosen.ef_search) < 1:
        raise UsageError(f"index: hnsw cannot have {chosen}; links are at least 2, the others at least 1")
    return chosen


def choose_ivfpq(wishes: Wishes, rows: int, dim: int) -> IvfPq:
    """Lists, codes and bits by the number and the length of the vectors.

    4 √rows lists, as far as there are `POINTS` vectors for each. A code stands for four numbers of a long vector,
    two of a short one.

    Codes have as many of 4 to 8 bits as there are vectors to train on: one of n bits takes 2ⁿ centroids. A search
    reads an eighth of the lists, at least 8: product codes lose more than the lists do.

    Raises:
        UsageError: there are too few vectors, or the wishes cannot be had.
    """
    fewest = POINTS * 2**FEWEST_BITS
    if rows < fewest:
        raise UsageError(
            f"index: {rows} vectors are too few for ivfpq, which trains on at least {fewest}; use the kind flat"
        )
    bits = min(MOST_BITS, int(math.log2(rows / POINTS)))
    width = next(size for size in ((4, 3, 2, 1) if dim >= _WIDE else (2, 1)) if dim % size == 0)
    nlist = _or(wishes.nlist, max(1, min(round(4 * math.sqrt(rows)), rows // POINTS)))
    chosen = IvfPq(
        nlist=nlist,
        nprobe=_or(wishes.nprobe, min(nlist, max(8, nlist // 8))),
        parts=_or(wishes.parts, dim // width),
        nbits=_or(wishes.nbits, bits),
    )
    _refuse(chosen, rows, dim)
    return chosen


def _refuse(chosen: IvfPq, rows: int, dim: int) -> None:
    if not 1 <= chosen.nlist <= rows:
        raise UsageError(f"index: nlist {chosen.nlist} must be between 1 and the {rows} vectors")
    if not 1 <= chosen.nprobe <= chosen.nlist:
        raise UsageError(f"index: nprobe {chosen.nprobe} must be between 1 and nlist, {chosen.nlist}")
    if chosen.parts < 1 or dim % chosen.parts:
        raise UsageError(
            f"index: m {chosen.parts} does not divide the vectors' {dim} numbers; choose a divisor"
        )
    if not 1 <= chosen.nbits <= 16 or 2**chosen.nbits > rows:
        raise UsageError(
            f"index: codes of {chosen.nbits} bits need {2**chosen.nbits} vectors or more (there are {rows}), and "
            "have 1 to 16 bits; choose fewer bits"
        )


def _or(wish: int | None, choice: int) -> int:
    return choice if wish is None else wish
