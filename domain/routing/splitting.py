"""Splits by prompt: which one a prompt is in follows from its text alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.splitting import near_identical_key

Split = Literal["train", "validation", "test"]


def prompt_key(prompt: str) -> str:
    """`near_identical_key`, which keeps a prompt of punctuation alone as it is, but for white space."""
    return near_identical_key(" ".join(unicodedata.normalize("NFKC", prompt).split()))


@attrs.frozen
class PromptSplitter:
    """Draws a prompt's split by a hash of its text.

    The hash is BLAKE2b of the seed and of what prompts share that differ in case, white space, punctuation or
    Unicode form alone (`prompt_key`), so that such prompts are never parted, and a prompt's split depends
    neither on the order of the input nor on the other prompts. Shares are therefore met on average, not exactly:
    of n prompts within some sqrt(fraction (1 - fraction) / n).

    Attributes:
        test_fraction: share of test, in [0, 1).
        validation_fraction: share of validation among all prompts, in [0, 1).
        seed: another one gives other splits.
    """

    test_fraction: float = 0.2
    validation_fraction: float = 0.1
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        for name in ("test_fraction", "validation_fraction"):
            fraction = getattr(self, name)
            if not 0 <= fraction < 1:
                raise UsageError(f"{name} {fraction} is not in [0, 1); use 0.1")
        if self.test_fraction + self.validation_fraction >= 1:
            raise UsageError(
                f"test_fraction {self.test_fraction} and validation_fraction {self.validation_fraction} "
                "leave nothing for train"
            )

    def split(self, prompt: str) -> Split:
        """The split that a prompt is in."""
        return self.split_of_key(prompt_key(prompt))

    def split_of_key(self, key: str) -> Split:
        """`split` of a prompt whose `prompt_key` is known."""
        digest = blake2b(
            key.encode("utf-8", "surrogatepass"), digest_size=8, salt=b"prompts", key=str(self.seed).encode()
        ).digest()
        place = int.from_bytes(digest, "big") / 2**64
        if place < self.test_fraction:
            return "test"
        return "validation" if place < self.test_fraction + self.validation_fraction else "train"


@attrs.frozen(eq=False)
class Leak:
    """Rows of one split whose prompts stand in another that is to be kept from it.

    Attributes:
        split: where the rows are.
        other: the split that has them, too.
        rows: (shared,) ascending.
    """

    split: str
    other: str
    rows: NDArray[np.int64]


def find_leaks(keys: Mapping[str, NDArray[np.uint64]]) -> Sequence[Leak]:
    """Rows of train that stand in any other split, and rows of validation that stand in any but train.

    Args:
        keys: (rows, 2) digests of each split's prompts, alike for prompts that must not be parted.
    """
    packed = {split: _packed(rows) for split, rows in keys.items()}
    leaks = []
    for split in ("train", "validation"):
        own = packed.pop(split, None)
        for other, theirs in packed.items():
            rows = np.empty(0, np.int64) if own is None else np.flatnonzero(np.isin(own, theirs))
            if len(rows):
                leaks.append(Leak(split, other, rows))
    return leaks


def _packed(digests: NDArray[np.uint64]) -> NDArray[np.bytes_]:
    return np.ascontiguousarray(digests).view("S16").reshape(-1)
