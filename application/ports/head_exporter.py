"""Writing trained heads as a graph that runs without this program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.linear_layer import LinearLayer


@attrs.frozen(eq=False)
class Trial:
    """Rows that a graph is tried on before it is written, and what it must say of them.

    Attributes:
        sources: by encoder name, (rows, layers, dim) float32, or CSR (rows, vocabulary).
        probabilities: (rows, classes) float32, as `predict` gives them.
    """

    sources: Mapping[str, Embeddings]
    probabilities: NDArray[np.float32]


@attrs.frozen
class ExportedGraph:
    """A graph on disk.

    Attributes:
        path: the file.
        inputs: (layers, dim) of each dense source and (vocabulary,) of each sparse one, by the encoder's name.
        output: the output's name.
        rows: how many rows it was tried on.
        largest_difference: between its probabilities and `predict`'s on these rows.
    """

    path: str
    inputs: Mapping[str, tuple[int, ...]]
    output: str
    rows: int
    largest_difference: float


class HeadExporter(Protocol):
    """Exports heads: embeddings in, probabilities out."""

    def export(
        self,
        directories: Sequence[str],
        classes: Sequence[str],
        linear: LinearLayer | None,
        trial: Trial,
        path: str,
    ) -> ExportedGraph:
        """Write one graph of all heads: the mean of their calibrated probabilities.

        Args:
            directories: of the heads; several are an ensemble.
            classes: labels in the order of class indices.
            linear: the linear path that the heads add to; None without one.
            trial: rows that the graph must get right before it is written.
            path: where to.

        Raises:
            UsageError: a library is missing, or the graph does not agree with the trial.
            CorruptArtifactError: a head is missing or unreadable.
            ResourceError: the disk is full.
        """
