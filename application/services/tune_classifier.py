"""Tune encoders together with the heads over them, from the frozen ones on, and keep what is better."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from time import perf_counter
from typing import Any

import attrs
import numpy as np

from fusionapp.application.ports.classifier_tuner import ClassifierTuner, JointlyTuned, TuningRows
from fusionapp.application.ports.heads import LabelledEmbeddings, TrainedHead
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.tracker import Tracker
from fusionapp.application.services.fit_linear_path import FitLinearPath, FittedPath, RowsBesidePath
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.train_classifier import MODELS, Training, void_heads
from fusionapp.domain.embeddings import Json
from fusionapp.domain.recipe import TrainingRecipe

logger = logging.getLogger(__name__)

TUNED = "tuned.json"
ENCODERS = "encoders"
"""The directory of a run's tuned encoders."""


@attrs.frozen
class Tuning:
    """What tuning came to.

    Attributes:
        encoders: of each tuned encoder, what of its table changes: its ``model`` stands in the run directory.
        kept: whether the tuned heads are better on validation than the frozen ones; else those stay.
        frozen: mean of the recipe's metric on validation before.
        tuned: and after.
        training: the tuned heads.
    """

    encoders: Mapping[str, Mapping[str, Json]]
    kept: bool
    frozen: float
    tuned: float
    training: Training


@attrs.frozen
class TuneClassifier:
    """Tunes a run's encoders, each once for all seeds.

    The linear path beside tuned heads reads the sources that are not tuned, and is left out where there are none:
    an encoder that was tuned on the train rows makes them look easy, so that no fold of a path over its embeddings
    would be unseen.

    Attributes:
        tuner: tunes encoders and heads.
        fit_path: fits what the heads add to.
        runs: the run directory.
        track: opens the tracker of a group.
        progress: told of every step.
    """

    tuner: ClassifierTuner
    fit_path: FitLinearPath
    runs: RunStore
    track: Callable[[str], Tracker]
    progress: Progress

    def __call__(
        self,
        recipe: TrainingRecipe,
        encoders: Sequence[str],
        seeds: Sequence[int],
        data: ClassificationData,
        texts: tuple[Sequence[str], Sequence[str]],
        frozen: Training,
        basis: Mapping[str, Json],
    ) -> Tuning:
        """Tune, or return what an earlier tuning left.

        Args:
            recipe: of the frozen heads and of tuning.
            encoders: which ones.
            seeds: of the heads.
            data: that the frozen heads were trained on.
            texts: of its train rows, and of its validation rows.
            frozen: the heads to start from.
            basis: what the frozen heads carry; an earlier tuning of another one is not taken.

        Raises:
            UsageError: an encoder cannot be tuned by this recipe.
        """
        found = read_tuning(self.runs, basis)
        if found is not None and not self.runs.verify(ENCODERS) and not self.runs.verify(MODELS):
            return found
        void_heads(self.runs, MODELS)
        self.runs.write_document(TUNED, {"basis": None})
        begun = perf_counter()
        with (
            self.runs.writing(MODELS),
            self.runs.writing(ENCODERS),
            closing(self.track(MODELS)) as tracker,
        ):
            rows = self._beside_path(recipe, encoders, seeds[0], data)
            tuned = self.tuner.tune(
                recipe=recipe,
                encoders=encoders,
                start=[head.directory for head in frozen.heads],
                seed=seeds[0],
                train=TuningRows(rows.train, texts[0]),
                validation=TuningRows(rows.validation, texts[1]),
                heads=[self.runs.path(f"{MODELS}/seed-{seed}") for seed in seeds],
                directories={name: self.runs.path(f"{ENCODERS}/{name}") for name in encoders},
                tracker=tracker,
                progress=self.progress,
            )
        document = _document(recipe, frozen, tuned, rows.path, basis, perf_counter() - begun)
        self.runs.write_document(TUNED, document)
        tuning = read_tuning(self.runs, basis)
        assert tuning is not None, "written just now"
        logger.info(
            "tuning: mean validation %s %.4f, frozen %.4f: %s",
            recipe.metric,
            tuning.tuned,
            tuning.frozen,
            "kept" if tuning.kept else "the frozen heads stay",
        )
        return tuning

    def _beside_path(
        self, recipe: TrainingRecipe, tuned: Sequence[str], seed: int, data: ClassificationData
    ) -> RowsBesidePath:
        rest = [name for name in data.train.sources if name not in tuned]
        if not rest:
            return RowsBesidePath(data.train, data.validation)
        fitted = self.fit_path(
            recipe,
            len(data.classes),
            _only(data.train, rest),
            _only(data.validation, rest),
            seed,
            self.runs.path(MODELS),
        )
        return RowsBesidePath(
            attrs.evolve(data.train, linear=fitted.train.linear),
            attrs.evolve(data.validation, linear=fitted.validation.linear),
            fitted.path,
        )


def read_tuning(runs: RunStore, basis: Mapping[str, Json]) -> Tuning | None:
    """What an earlier tuning left in a run, where it started from these frozen heads."""
    found = runs.read_document(TUNED)
    if found is None or found["basis"] is None or any(differences(found["basis"], dict(basis))):
        return None
    heads = [
        TrainedHead(**{**head, "directory": runs.path(f"{MODELS}/seed-{head['seed']}")})
        for head in found["heads"]
    ]
    path = None if found["path"] is None else FittedPath(**found["path"])
    return Tuning(
        encoders=found["encoders"],
        kept=found["kept"],
        frozen=found["validation"]["frozen"],
        tuned=found["validation"]["tuned"],
        training=Training(heads, found["seconds"], path),
    )


def _document(
    recipe: TrainingRecipe,
    frozen: Training,
    tuned: JointlyTuned,
    path: FittedPath | None,
    basis: Mapping[str, Json],
    seconds: float,
) -> dict[str, Any]:
    before, after = (_mean(heads, recipe.metric) for heads in (frozen.heads, tuned.heads))
    lower = recipe.metric == "loss"
    return {
        "basis": dict(basis),
        # A start whose heads were only weighed anew is no reason to keep a copy of an untouched encoder.
        "kept": tuned.best_step > 0 and (after < before if lower else after > before),
        "validation": {"metric": recipe.metric, "frozen": before, "tuned": after},
        "steps": tuned.steps,
        "best_step": tuned.best_step,
        "seconds": frozen.seconds + seconds,
        "encoders": {
            name: {**table, "model": f"{ENCODERS}/{name}/model"} for name, table in tuned.encoders.items()
        },
        "preflights": {name: attrs.asdict(one) for name, one in tuned.preflights.items()},
        "path": None if path is None else attrs.asdict(path),
        "heads": [attrs.asdict(head) for head in tuned.heads],
    }


def _mean(heads: Sequence[TrainedHead], metric: str) -> float:
    return float(np.mean([head.validation[metric] for head in heads]))


def _only(data: LabelledEmbeddings, sources: Sequence[str]) -> LabelledEmbeddings:
    return LabelledEmbeddings({name: data.sources[name] for name in sources}, data.labels)
