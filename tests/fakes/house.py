"""The use cases wired over the fakes, and a small classification job for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs
from fakes.datasets import MemorySource
from fakes.encoders import CountingEncoder
from fakes.heads import CountingProgress, NearestMeanScorer, NearestMeanTrainer
from fakes.linear import ClassSharePath, FirstClassControl
from fakes.stores import MemoryEmbeddingStore, MemoryRunStore, MemorySpool
from fakes.tracker import RecordingTracker

from fusionapp.adapters.executors.local import LocalExecutor
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.heads import HeadScorer, HeadTrainer
from fusionapp.application.services.evaluate_classifier import EvaluateClassifier, Evaluation
from fusionapp.application.services.extract_dataset import ExtractDataset, Extraction
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.fit_linear_path import FitLinearPath
from fusionapp.application.services.gather_embeddings import GatherEmbeddings, SplitEmbeddings
from fusionapp.application.services.prepare_classification import ClassificationData, PrepareClassification
from fusionapp.application.services.read_splits import ReadSplits
from fusionapp.application.services.run_controls import RunControls
from fusionapp.application.services.score_heads import ScoreHeads
from fusionapp.application.services.train_classifier import TrainClassifier, Training
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

Splits = Mapping[str, Sequence[tuple[str, str | None]]]

CLASSES = ("fear", "grief", "joy")
RECIPE = TrainingRecipe()


def examples(rows: int, seed: int) -> list[tuple[str, str | None]]:
    """Texts whose first word is their label."""
    random = Random(seed)
    labels = [random.choice(CLASSES) for _ in range(rows)]
    return [(f"{label} {seed} {row}", label) for row, label in enumerate(labels)]


class TopicEncoder(CountingEncoder):
    """Embeds the first word alone, so that texts of a class are alike."""

    def _vector(self, text: str) -> Any:
        return super()._vector(text.split(maxsplit=1)[0])


@attrs.define
class House:
    """Every service over fakes that remember."""

    splits: Splits
    scratch: Path
    trainer: HeadTrainer = attrs.field(factory=NearestMeanTrainer)
    scorer: HeadScorer = attrs.field(factory=NearestMeanScorer)
    linear: FirstClassControl = attrs.field(factory=FirstClassControl)
    path: ClassSharePath = attrs.field(factory=ClassSharePath)
    spool: MemorySpool = attrs.field(factory=MemorySpool)
    store: MemoryEmbeddingStore = attrs.field(factory=MemoryEmbeddingStore)
    progress: CountingProgress = attrs.field(factory=CountingProgress)
    trackers: dict[str, RecordingTracker] = attrs.field(factory=dict)
    runs: MemoryRunStore = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.runs = MemoryRunStore(self.scratch)

    @property
    def read(self) -> ReadSplits:
        return ReadSplits(MemorySource(self.splits), self.spool, "text")

    def extract(self, encoders: Mapping[str, Encoder], shard_rows: int = 4, **how: Any) -> Extraction:
        extract = ExtractEmbeddings(self.store, LocalExecutor(), self.progress)
        whole = ExtractDataset(self.read, extract, self.runs)
        return whole(encoders, {"adapter": "memory", "root": "."}, shard_rows, **how)

    def gather(self, extraction: Extraction, split: str) -> SplitEmbeddings:
        return GatherEmbeddings(self.store, self.spool)(extraction.inventory, split)

    def prepare(self, extraction: Extraction) -> ClassificationData:
        validation = self.gather(extraction, "validation") if "validation" in self.splits else None
        prepare = PrepareClassification(validation_fraction=0.2, seed=0, label_column="label")
        return prepare(self.gather(extraction, "train"), validation, extraction.shared.train_rows[:0])

    @property
    def train(self) -> TrainClassifier:
        fit_path = FitLinearPath(self.path, self.progress)
        return TrainClassifier(self.trainer, fit_path, self.runs, self._track, self.progress)

    @property
    def score(self) -> ScoreHeads:
        return ScoreHeads(self.scorer, self.path, self.runs)

    def trained(
        self,
        data: ClassificationData,
        seeds: Sequence[int],
        recipe: TrainingRecipe = RECIPE,
        **carried: Any,
    ) -> Training:
        return self.train("models", FusionSpec(), recipe, seeds, data, {"encoders": {}, **carried})

    def evaluate(
        self,
        data: ClassificationData,
        test: SplitEmbeddings,
        fusion: FusionSpec,
        seeds: Sequence[int] = (0, 1),
        baselines: bool = True,
        recipe: TrainingRecipe = RECIPE,
    ) -> Evaluation:
        controls = RunControls(self.train, self.score, self.linear, self.progress)
        return EvaluateClassifier(self.score, controls, self.runs)(
            name=fusion.kind,
            fusion=fusion,
            recipe=recipe,
            seeds=seeds,
            trained=self.trained(data, seeds, recipe),
            data=data,
            test=test,
            label_column="label",
            draws=300,
            baselines=baselines,
            costs=(0.5, 1.0),
            carried={"encoders": {}},
        )

    def _track(self, group: str) -> RecordingTracker:
        return self.trackers.setdefault(group, RecordingTracker())


BuildHouse = Callable[[Splits], House]
