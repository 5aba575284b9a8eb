"""Texts as token ids, made once before training and kept flat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.model_files.tokenization import Tokens
from fusionapp.domain.errors import UsageError

_TEXTS = 8192
"""Texts tokenised at once: an array a text takes far more memory than the ids in it."""


@attrs.frozen(eq=False)
class TokenTable:
    """Token ids of texts, one after the other.

    Attributes:
        flat: (tokens,) int32.
        ends: (texts + 1,) int64: text i holds ``flat[ends[i]:ends[i + 1]]``.
        truncated: texts that were cut to the longest length.
    """

    flat: NDArray[np.int32]
    ends: NDArray[np.int64]
    truncated: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(texts,) int64 tokens of each text."""
        return np.diff(self.ends)

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        """One text's ids, special tokens and prefix included."""
        return self.flat[self.ends[row] : self.ends[row + 1]]


def token_table(tokenize: Callable[[Sequence[str]], Tokens], texts: Sequence[str], name: str) -> TokenTable:
    """Tokenise every text.

    Args:
        tokenize: gives the ids of some texts.
        texts: all of them.
        name: of the texts, for messages: ``train.queries``.

    Raises:
        UsageError: the tokenizer makes no token of a text.
    """
    parts: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    lengths: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    truncated = 0
    for start in range(0, len(texts), _TEXTS):
        tokens = tokenize(texts[start : start + _TEXTS])
        if not tokens.lengths.all():
            row = start + int(tokens.lengths.argmin())
            raise UsageError(f"{name}: the tokenizer makes no token of text {row}; leave it out")
        parts.append(np.concatenate(tokens.ids))
        lengths.append(tokens.lengths)
        truncated += int(tokens.truncated.sum())
    return TokenTable(np.concatenate(parts), np.concatenate(lengths).cumsum(), truncated)
