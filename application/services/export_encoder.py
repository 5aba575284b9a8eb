"""Write an encoder as a graph, once the graph gives the encoder's own vectors."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.encoder_exporter import EncoderExporter, Parity
from fusionapp.domain.errors import UsageError

_SENTENCE = "The rain never stopped, and nobody came to the small red house by the river that day. "

TEXTS = (
    "a",
    "No.",
    "What a sad day it was!",
    "Größe, naïveté, 東京, 😀 and 3.14159",
    _SENTENCE,
    "https://example.org/a?b=c#d [PAD] <pad> </s>",
    _SENTENCE * 3,
    _SENTENCE * 12,
    _SENTENCE * 40,
)
"""What is compared: one token to more than most encoders take."""

EXACT = 1e-4
"""Largest relative distance of a float32 graph: what was seen is 1e-6, and an error of pooling is above 1e-2."""

QUANTIZED = 0.9
"""Lowest cosine of an int8 graph."""


@attrs.frozen
class ExportEncoder:
    """Exports, and holds the graph to the encoder.

    Attributes:
        open: opens a directory that an exporter wrote.
    """

    open: Callable[[str], Encoder]

    def __call__(self, encoder: Encoder, exporter: EncoderExporter, path: str, int8: bool = False) -> Parity:
        """Write the directory `path`; return how close it came.

        Args:
            encoder: what is exported, computing in float32.
            exporter: writes that encoder.
            path: where to.
            int8: whether weights are quantised.

        Raises:
            UsageError: the encoder cannot be exported, or the graph's vectors are not the encoder's.
        """

        def check(directory: str) -> Parity:
            graph = self.open(directory)
            try:
                found = _vectors(graph)
            finally:
                graph.close()
            parity = _compare(found, _vectors(encoder))
            _refuse_unlike(parity, path, int8)
            return parity

        try:
            return exporter.export(path, int8, check)
        finally:
            encoder.close()


def _compare(found: NDArray[np.float64], expected: NDArray[np.float64]) -> Parity:
    """Of (texts, layers, dim) vectors each."""
    lengths = np.linalg.norm(expected, axis=-1)
    products = (found * expected).sum(axis=-1)
    cosines = products / np.maximum(lengths * np.linalg.norm(found, axis=-1), 1e-30)
    errors = np.linalg.norm(found - expected, axis=-1) / np.maximum(lengths, 1e-30)
    return Parity(len(expected), float(cosines.min()), float(errors.max()))


def _refuse_unlike(parity: Parity, path: str, int8: bool) -> None:
    if not (parity.cosine >= QUANTIZED if int8 else parity.error <= EXACT):
        raise UsageError(
            f"{path}: not written: on {parity.texts} texts the graph's vectors are up to {parity.error:.2g} from "
            f"the encoder's (lowest cosine {parity.cosine:.4f}); "
            + ("export without --int8" if int8 else 'use adapter = "huggingface"')
        )


def _vectors(encoder: Encoder) -> NDArray[np.float64]:
    vectors = encoder.encode(TEXTS, encoder.plan(len(TEXTS))).embeddings
    assert isinstance(vectors, np.ndarray), "exporters take dense encoders alone"
    return vectors.astype(np.float64)
