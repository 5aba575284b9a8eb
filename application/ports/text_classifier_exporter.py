"""Writing encoders and heads as one graph that classifies texts without this program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(eq=False)
class TextClassifierParts:
    """What such a graph is made of; each part is written, or found, when it is asked for.

    Attributes:
        heads: writes the heads' graph, embeddings in, to the file named.
        encoders: by name, in the heads' order: writes the encoder as a graph to the directory named, unless it
            stands somewhere already, and returns where it is.
        classes: labels in the order of class indices.
        texts: what the whole is tried on, of several lengths.
        probabilities: (texts, classes) float32, what it must say of them.
    """

    heads: Callable[[str], object]
    encoders: Mapping[str, Callable[[str], str]]
    classes: Sequence[str]
    texts: Sequence[str]
    probabilities: NDArray[np.float32]


@attrs.frozen
class ExportedTextClassifier:
    """A directory on disk.

    Attributes:
        directory: where.
        inputs: names of the graph's inputs.
        output: the output's name.
        texts: how many texts it was tried on.
        largest_difference: between its probabilities and `predict`'s on these texts.
        tolerance: what that may be.
    """

    directory: str
    inputs: Sequence[str]
    output: str
    texts: int
    largest_difference: float
    tolerance: float


class TextClassifierExporter(Protocol):
    """Exports encoders and heads together: tokens in, probabilities out."""

    def export(self, parts: TextClassifierParts, path: str) -> ExportedTextClassifier:
        """Write a directory, whole or not at all: one graph, tokenizers, and what says how to use them.

        Args:
            parts: what it is made of.
            path: the directory, which must not be there yet.

        Raises:
            UsageError: a part cannot be exported, a library is missing, the directory is there, or the graph does
                not say what it must.
            ResourceError: memory or disk ran out.
        """
