"""Embed new texts in memory, for whoever asks a trained model about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import UsageError


def encode_texts(texts: Sequence[str], first: int, encoders: Mapping[str, Encoder]) -> dict[str, Embeddings]:
    """Every encoder's embeddings of some texts.

    Args:
        texts: to embed.
        first: the number of the first one among all that were given, for messages.
        encoders: by name.

    Raises:
        UsageError: a text is blank, or cannot be encoded.
    """
    blank = [first + row for row, text in enumerate(texts) if not text.strip()]
    if blank:
        raise UsageError(f"text {blank[0]} is blank (counted from 0); remove it")
    sources = {}
    for name, encoder in encoders.items():
        encoding = encoder.encode(texts, encoder.plan(len(texts)))
        if encoding.failed.any():
            place = int(np.flatnonzero(encoding.failed)[0])
            why = encoding.reasons.get(place, "its numbers are not finite")
            raise UsageError(
                f"text {first + place} (counted from 0): encoder {name!r} gives no embedding: {why}"
            )
        sources[name] = encoding.embeddings
    return sources
