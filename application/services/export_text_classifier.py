"""Write a trained classifier, encoders included, as one graph: tokens in, probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.encoder_exporter import EncoderExporter
from fusionapp.application.ports.head_exporter import HeadExporter, Trial
from fusionapp.application.ports.text_classifier_exporter import (
    ExportedTextClassifier,
    TextClassifierExporter,
    TextClassifierParts,
)
from fusionapp.application.services.classify_texts import ClassifyTexts
from fusionapp.application.services.export_encoder import TEXTS, ExportEncoder
from fusionapp.domain.embeddings import Dense
from fusionapp.domain.errors import UsageError


@attrs.frozen(eq=False)
class ExportableEncoder:
    """An encoder that can be a part of a graph.

    Attributes:
        encoder: computes in float32, as the graph will.
        graph: the directory of its graph, or what writes one.
    """

    encoder: Encoder
    graph: str | EncoderExporter


@attrs.frozen
class ExportTextClassifier:
    """Exports each encoder and the heads, joins them, and holds the whole to `predict`.

    Attributes:
        classify: the use case behind `predict`.
        export_encoder: writes an encoder's graph.
        heads: writes the heads' graph.
        exporter: joins them.
    """

    classify: ClassifyTexts
    export_encoder: ExportEncoder
    heads: HeadExporter
    exporter: TextClassifierExporter

    def __call__(
        self,
        encoders: Mapping[str, ExportableEncoder],
        directories: Sequence[str],
        classes: Sequence[str],
        path: str | None,
        output: str,
    ) -> ExportedTextClassifier:
        """Export to the directory `output`.

        Args:
            encoders: by name, those that the heads were trained on, in their order.
            directories: of the heads; several are an ensemble.
            classes: labels in the order of class indices.
            path: directory of the linear path that the heads add to; None without one.
            output: the directory to write.

        Raises:
            UsageError: an encoder or the heads cannot be exported, or the graph does not say what `predict` does.
        """
        plain = {name: one.encoder for name, one in encoders.items()}
        predictions = self.classify(TEXTS, plain, directories, classes, path)
        probabilities = np.array([list(one.probabilities.values()) for one in predictions], dtype=np.float32)
        trial = Trial({name: _embed(name, encoder) for name, encoder in plain.items()}, probabilities)
        layer = None if path is None else self.classify.path.as_layer(path)
        parts = TextClassifierParts(
            heads=lambda place: self.heads.export(directories, classes, layer, trial, place),
            encoders={name: self._writer(name, one) for name, one in encoders.items()},
            classes=classes,
            texts=TEXTS,
            probabilities=probabilities,
        )
        return self.exporter.export(parts, output)

    def _writer(self, name: str, one: ExportableEncoder) -> Callable[[str], str]:
        graph = one.graph
        if isinstance(graph, str):
            return lambda _: graph

        def write(place: str) -> str:
            try:
                self.export_encoder(one.encoder, graph, place)
            except UsageError as error:
                raise UsageError(
                    f"encoder {name!r}: {error}; or export the heads alone, without --with-encoders"
                ) from error
            return place

        return write


def _embed(name: str, encoder: Encoder) -> Dense:
    embeddings = encoder.encode(TEXTS, encoder.plan(len(TEXTS))).embeddings
    if not isinstance(embeddings, np.ndarray):
        raise UsageError(f"encoder {name!r} is sparse, and has no graph; export the heads alone")
    vectors: NDArray[np.float32] = embeddings
    return vectors
