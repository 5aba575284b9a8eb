"""``--batch-size``: a bound on memory in texts, for those who think of batches as so many texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionapp.domain.catalogue import find_card

LONGEST = 512
"""Tokens that a text of unknown or greater length counts for: a long-context model's limit would bound nothing."""


def text_tokens(table: Mapping[str, Any]) -> int:
    """What one text of a batch counts for: the encoder's max length where it is known, and 512 tokens at most.

    Args:
        table: the encoder's settings as plain values.
    """
    length = table.get("max_length")
    if not isinstance(length, int):
        card = find_card(str(table.get("model")))
        length = LONGEST if card is None else card.max_length
    return max(1, min(length, LONGEST))


def batch_budget(table: Mapping[str, Any], texts: int) -> int:
    """Tokens, padding included, of a batch of so many of the longest texts.

    Batches are filled up to the budget with texts of like length, so that short ones are more in a batch.
    """
    return texts * text_tokens(table)


def texts_in_batch(table: Mapping[str, Any], budget: int) -> int | None:
    """How many of the longest texts a budget holds, at least 1; None for an encoder that counts no tokens."""
    size = table.get("batch_size")
    if isinstance(size, int):
        return size
    return max(1, budget // text_tokens(table)) if "batch_tokens" in table else None
