"""Write a trained classifier as one graph: embeddings in, probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.embedding_store import EmbeddingStore
from fusionapp.application.ports.head_exporter import ExportedGraph, HeadExporter, Trial
from fusionapp.application.ports.heads import HeadScorer
from fusionapp.application.ports.linear_path import LinearPath
from fusionapp.domain.embeddings import Embeddings, Json
from fusionapp.domain.errors import UsageError
from fusionapp.domain.scores import ensemble

TRIAL_ROWS = 256


@attrs.frozen
class ExportClassifier:
    """Scores stored rows as `predict` does, and exports a graph that must say the same.

    Attributes:
        store: the run's embeddings.
        scorer: runs the heads.
        path: the linear path that they may add to.
        exporter: writes the graph.
    """

    store: EmbeddingStore
    scorer: HeadScorer
    path: LinearPath
    exporter: HeadExporter

    def __call__(
        self,
        inventory: Mapping[str, Json],
        encoders: Sequence[str],
        directories: Sequence[str],
        classes: Sequence[str],
        path: str | None,
        output: str,
    ) -> ExportedGraph:
        """Export heads.

        Args:
            inventory: the content of ``embeddings.json``.
            encoders: names of the sources that the heads were trained on.
            directories: of the heads; several are an ensemble.
            classes: labels in the order of class indices.
            path: directory of the linear path that the heads add to; None without one.
            output: the file to write.

        Raises:
            UsageError: nothing is stored to try the graph on, or the graph is wrong.
        """
        sources = self._trial_rows(inventory, encoders)
        linear: NDArray[np.float32] | None = None
        layer = None
        if path is not None:
            linear, layer = self.path.score(path, sources), self.path.as_layer(path)
        probabilities = ensemble(self.scorer.score(directories, sources, linear))[0]
        return self.exporter.export(directories, classes, layer, Trial(sources, probabilities), output)

    def _trial_rows(self, inventory: Mapping[str, Json], encoders: Sequence[str]) -> dict[str, Embeddings]:
        """Equally many stored rows of each source; they need not be the same texts to tell two programs apart."""
        sources = {name: self._stored_rows(name, inventory["encoders"].get(name)) for name in encoders}
        rows = min(found.shape[0] for found in sources.values())
        return {name: found[:rows] for name, found in sources.items()}

    def _stored_rows(self, name: str, encoder: Mapping[str, Json] | None) -> Embeddings:
        for place in encoder["sets"].values() if encoder is not None else ():
            stored = self.store.read(place["key"])
            for rows, embeddings in stored.shards() if stored is not None else ():
                if len(rows):
                    some = embeddings[:TRIAL_ROWS]
                    return np.array(some) if isinstance(some, np.ndarray) else some
        raise UsageError(
            f"no embeddings of {name!r} are stored to try the graph on; run `fusionapp extract` first"
        )
