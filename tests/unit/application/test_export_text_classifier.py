"""What the exporter of a whole classifier is given, and what becomes of an encoder that has no graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fakes.encoders import CountingEncoder
from fakes.house import BuildHouse, House, TopicEncoder
from unit.application.test_export_classifier import CLASSES, KeptTrial, trained

from fusionapp.adapters.lexical.encoder import LexicalEncoder
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.encoder_exporter import EncoderExporter, Parity
from fusionapp.application.ports.text_classifier_exporter import (
    ExportedTextClassifier,
    TextClassifierExporter,
    TextClassifierParts,
)
from fusionapp.application.services.classify_texts import ClassifyTexts
from fusionapp.application.services.export_encoder import TEXTS, ExportEncoder
from fusionapp.application.services.export_text_classifier import ExportableEncoder, ExportTextClassifier
from fusionapp.domain.errors import UsageError


class KeptParts(TextClassifierExporter):
    """Asks for every part, keeps where they are, and writes nothing."""

    def export(self, parts: TextClassifierParts, path: str) -> ExportedTextClassifier:
        self.parts = parts
        self.places = [write(f"{path}/{name}") for name, write in parts.encoders.items()]
        parts.heads(f"{path}/heads")
        return ExportedTextClassifier(path, [], "probabilities", len(parts.texts), 0.0, 1e-3)


class NoGraph(EncoderExporter):
    """Exports nothing, and says so."""

    def export(self, path: str, int8: bool, check: Callable[[str], Parity]) -> Parity:
        raise UsageError("model: torch cannot write it")


def service(house: House, heads: KeptTrial, exporter: KeptParts) -> ExportTextClassifier:
    def never(directory: str) -> Encoder:
        raise AssertionError(directory)

    classify = ClassifyTexts(house.scorer, house.path)
    return ExportTextClassifier(classify, ExportEncoder(never), heads, exporter)


def paths(house: House) -> tuple[Any, ...]:
    heads = [house.runs.path(f"models/seed-{seed}") for seed in (0, 1)]
    return heads, CLASSES, house.runs.path("models/linear"), "out"


def test_the_whole_is_tried_on_what_predict_says_of_the_texts(build: BuildHouse) -> None:
    encoders: dict[str, Encoder] = {"a": TopicEncoder(), "b": CountingEncoder(name="b")}
    house, heads, exporter = trained(build, **encoders), KeptTrial(), KeptParts()
    exportable = {name: ExportableEncoder(one, f"graphs/{name}") for name, one in encoders.items()}
    exported = service(house, heads, exporter)(exportable, *paths(house))
    said = ClassifyTexts(house.scorer, house.path)(TEXTS, encoders, *paths(house)[:3])
    expected = [list(one.probabilities.values()) for one in said]
    np.testing.assert_allclose(exporter.parts.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(heads.trial.probabilities, expected, atol=1e-6)
    assert {name: len(rows) for name, rows in heads.trial.sources.items()} == {
        "a": len(TEXTS),
        "b": len(TEXTS),
    }
    assert exporter.places == ["graphs/a", "graphs/b"]
    assert exported.texts == len(TEXTS)


def test_an_encoder_that_cannot_be_exported_is_named_with_the_way_out(build: BuildHouse) -> None:
    house = trained(build, a=TopicEncoder())
    with pytest.raises(
        UsageError, match=r"encoder 'a': model: torch cannot write it; or export the heads alone"
    ):
        service(house, KeptTrial(), KeptParts())(
            {"a": ExportableEncoder(TopicEncoder(), NoGraph())}, *paths(house)
        )


def test_a_sparse_encoder_has_no_graph(build: BuildHouse) -> None:
    words = LexicalEncoder(dim=64)
    house = trained(build, a=TopicEncoder(), words=words)
    exportable = {"a": ExportableEncoder(TopicEncoder(), "a"), "words": ExportableEncoder(words, "words")}
    with pytest.raises(UsageError, match="encoder 'words' is sparse"):
        service(house, KeptTrial(), KeptParts())(exportable, *paths(house))
