"""Writing an encoder as a graph that runs without the model's own library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs


@attrs.frozen
class Parity:
    """How close a graph comes to the encoder that it was made of.

    Attributes:
        texts: how many texts were compared, of several lengths.
        cosine: the lowest cosine between a text's two vectors, over all layers.
        error: the largest distance between them, relative to the encoder's vector.
    """

    texts: int
    cosine: float
    error: float


class EncoderExporter(Protocol):
    """Exports one encoder."""

    def export(self, path: str, int8: bool, check: Callable[[str], Parity]) -> Parity:
        """Write a directory, whole or not at all.

        Args:
            path: the directory, which must not be there yet.
            int8: whether weights are quantised to 8 bits.
            check: opens the directory as it will be, at a temporary place, and raises where it is not good enough.

        Returns:
            What `check` found.

        Raises:
            UsageError: the encoder cannot be exported, a library is missing, or the directory is there.
            ResourceError: memory or disk ran out.
        """
