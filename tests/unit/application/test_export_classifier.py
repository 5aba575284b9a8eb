"""What the exporter of a trained classifier is given to try its graph on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes.encoders import CountingEncoder
from fakes.house import BuildHouse, House, TopicEncoder, examples

from fusionapp.adapters.lexical.encoder import LexicalEncoder
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.head_exporter import ExportedGraph, HeadExporter, Trial
from fusionapp.application.services.export_classifier import ExportClassifier
from fusionapp.domain.errors import UsageError
from fusionapp.domain.linear_layer import LinearLayer

CLASSES = ("fear", "grief", "joy")


class KeptTrial(HeadExporter):
    """Keeps what it was asked to export, and writes nothing."""

    def export(
        self,
        directories: Sequence[str],
        classes: Sequence[str],
        linear: LinearLayer | None,
        trial: Trial,
        path: str,
    ) -> ExportedGraph:
        self.directories, self.linear, self.trial = list(directories), linear, trial
        return ExportedGraph(path, {}, "probabilities", len(trial.probabilities), 0.0)


def trained(build: BuildHouse, **encoders: Encoder) -> House:
    house = build({"train": examples(40, 1), "validation": examples(20, 2)})
    house.trained(house.prepare(house.extract(encoders, shard_rows=8)), (0, 1))
    return house


def export(house: House, exporter: HeadExporter, *encoders: str) -> ExportedGraph:
    inventory = house.runs.read_document("embeddings.json")
    assert inventory is not None
    heads = [house.runs.path(f"models/seed-{seed}") for seed in (0, 1)]
    path = house.runs.path("models/linear")
    service = ExportClassifier(house.store, house.scorer, house.path, exporter)
    return service(inventory, encoders, heads, CLASSES, path, "out.onnx")


def test_a_graph_is_tried_on_stored_rows_against_the_ensemble(build: BuildHouse) -> None:
    house, exporter = trained(build, a=TopicEncoder(), b=CountingEncoder(name="b")), KeptTrial()
    exported = export(house, exporter, "a", "b")
    trial = exporter.trial
    assert {name: rows.shape for name, rows in trial.sources.items()} == {"a": (8, 2, 8), "b": (8, 2, 8)}
    linear = house.path.score(house.runs.path("models/linear"), trial.sources)
    each = house.scorer.score(exporter.directories, trial.sources, linear)
    np.testing.assert_allclose(trial.probabilities, each.mean(0), atol=1e-6)
    assert exporter.linear is not None
    assert exported.rows == 8


def test_stored_rows_of_a_sparse_source_are_csr(build: BuildHouse) -> None:
    house, exporter = trained(build, a=TopicEncoder(), words=LexicalEncoder(dim=64)), KeptTrial()
    export(house, exporter, "a", "words")
    assert {name: rows.shape for name, rows in exporter.trial.sources.items()} == {
        "a": (8, 2, 8),
        "words": (8, 64),
    }


def test_without_stored_rows_nothing_is_exported(build: BuildHouse, tmp_path: Path) -> None:
    house = trained(build, a=TopicEncoder())
    house.store.sets.clear()
    with pytest.raises(UsageError, match="no embeddings of 'a' are stored to try the graph on"):
        export(house, KeptTrial(), "a")
