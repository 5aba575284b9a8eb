"""Encoders that cost nothing to tune: their heads are told how good they have become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copytree

import attrs
from fakes.heads import load_means

from fusionapp.application.ports.classifier_tuner import ClassifierTuner, JointlyTuned, TuningRows
from fusionapp.application.ports.encoder_tuner import Preflight
from fusionapp.application.ports.heads import TrainedHead
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.recipe import TrainingRecipe


@attrs.define
class PromisedTuner(ClassifierTuner):
    """Copies the heads to start from, and reports the accuracy that it was promised.

    Attributes:
        accuracy: of every tuned head on validation.
        best_step: that it reports.
        calls: encoders and linear scores of train of each call.
    """

    accuracy: float = 0.9
    best_step: int = 2
    calls: list[tuple[list[str], bool]] = attrs.field(factory=list)

    def tune(
        self,
        recipe: TrainingRecipe,
        encoders: Sequence[str],
        start: Sequence[str],
        seed: int,
        train: TuningRows,
        validation: TuningRows,
        heads: Sequence[str],
        directories: Mapping[str, str],
        tracker: Tracker,
        progress: Progress,
    ) -> JointlyTuned:
        sources = [load_means(Path(place))[0] for place in start]
        if not encoders or any(name not in names for name in encoders for names in sources):
            raise UsageError(f"tuning: {list(encoders)} are no sources of the heads, which have {sources}")
        for split, rows in (("train", train), ("validation", validation)):
            if len(rows.texts) != len(rows.embeddings.labels):
                raise UsageError(f"tuning: {split} has {len(rows.texts)} texts for its labels")
        self.calls.append((list(encoders), train.embeddings.linear is not None))
        metrics = {"accuracy": self.accuracy, "macro_f1": 0.5, "weighted_f1": 0.5, "loss": 1 - self.accuracy}
        tuned = []
        with progress.task("tune encoders and heads", total=4, unit="steps") as bar:
            for row, (old, new) in enumerate(zip(start, heads, strict=True)):
                copytree(old, new, dirs_exist_ok=True)
                tuned.append(TrainedHead(new, row, 1, 2, 10, metrics))
            for step in (0, 4):
                tracker.log("seed-0", step, {f"validation_{name}": value for name, value in metrics.items()})
            bar.advance(4)
        for name in encoders:
            Path(directories[name], "model").mkdir(parents=True, exist_ok=True)
            Path(directories[name], "model", "weights.json").write_text("{}", encoding="utf-8")
        preflight = Preflight(recipe.finetuning.method, 1, 1, {"float64": 1}, 1e-3, (), ())
        return JointlyTuned(
            tuned,
            {name: {"pooling": "mean"} for name in encoders},
            dict.fromkeys(encoders, preflight),
            4,
            self.best_step,
            0.1,
        )
