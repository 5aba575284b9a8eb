"""Train fusion heads over a run's embeddings and keep what prediction needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from time import perf_counter

import attrs

from fusionapp.application.ports.heads import HeadTrainer, LabelledEmbeddings, TrainedHead
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.tracker import Tracker
from fusionapp.application.services.fit_linear_path import LINEAR_PATH, FitLinearPath, FittedPath
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

MODELS = "models"
"""The group of a run's own heads."""
TRAINED = "trained.json"


@attrs.frozen
class Training:
    """What training left behind.

    Attributes:
        heads: one per seed.
        seconds: spent now, the linear path's included; the first run's where everything was there.
        path: the linear path that the heads add to; None without one, and of a protocol, whose rounds have theirs.
        reused: True where every head was there already.
    """

    heads: Sequence[TrainedHead]
    seconds: float
    path: FittedPath | None = None
    reused: bool = False


@attrs.frozen
class TrainClassifier:
    """Trains a group of heads: the run's own under ``models/``, or a control's under ``controls/NAME/``.

    Attributes:
        trainer: trains the heads.
        fit_path: fits what they add to.
        runs: the run directory.
        track: opens the tracker of a group.
        progress: told of every epoch.
    """

    trainer: HeadTrainer
    fit_path: FitLinearPath
    runs: RunStore
    track: Callable[[str], Tracker]
    progress: Progress

    def __call__(
        self,
        group: str,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        data: ClassificationData,
        carried: Mapping[str, Json],
        sources: Sequence[str] = (),
        overwrite: bool = False,
    ) -> Training:
        """Train one head per seed, or return those that stand there already, trained on the same data.

        Args:
            group: directory of the group under the run, such as "models".
            fusion: how sources are fused.
            recipe: how heads are trained.
            seeds: one head each.
            data: what they are trained on and chosen by.
            carried: kept in each ``model.json`` for prediction (encoders) and to recognise the data.
            sources: train on these encoders alone; empty for all.
            overwrite: train heads anew that stand there and were changed since.

        Raises:
            UsageError: the fusion cannot be built over these sources.
            CorruptArtifactError: heads stand there and were changed since; nothing of them is overwritten.
        """
        names = [f"{group}/seed-{seed}" for seed in seeds]
        found = self._reusable(group, names, carried, overwrite)
        if found is not None:
            return found
        start = perf_counter()
        with self.runs.writing(group), closing(self.track(group)) as tracker:
            rows = self.fit_path(
                recipe,
                len(data.classes),
                _only(data.train, sources),
                _only(data.validation, sources),
                seeds[0],
                self.runs.path(group),
            )
            heads = self.trainer.train(
                fusion=fusion,
                recipe=recipe,
                seeds=seeds,
                classes=len(data.classes),
                train=rows.train,
                validation=rows.validation,
                directories=[self.runs.path(name) for name in names],
                tracker=tracker,
                progress=self.progress,
            )
        training = Training(list(heads), perf_counter() - start, rows.path)
        keep_heads(self.runs, group, training, data.classes, carried, sources)
        return training

    def _reusable(
        self, group: str, names: Sequence[str], carried: Mapping[str, Json], overwrite: bool
    ) -> Training | None:
        """What an earlier training left; where it is another one, nothing of it is trusted from now on."""
        found = self.runs.read_document(f"{group}/{TRAINED}")
        if found is None:
            return None
        other = (
            "path" not in found
            or len(found["heads"]) != len(names)
            or any(differences(found["carried"], dict(carried)))
        )
        if other or self._is_damaged(group, names, overwrite):
            void_heads(self.runs, group)
            return None
        heads = [
            TrainedHead(**{**head, "directory": self.runs.path(name)})
            for name, head in zip(names, found["heads"], strict=True)
        ]
        path = None if found["path"] is None else FittedPath(**found["path"])
        return Training(heads, found["seconds"], path, reused=True)

    def _is_damaged(self, group: str, names: Sequence[str], overwrite: bool) -> bool:
        """Whether files that would be reused are not what was written, if that may be mended.

        Raises:
            CorruptArtifactError: they are not, and `overwrite` is not set.
        """
        parts = [f"{group}/{TRAINED}", *names, f"{group}/{LINEAR_PATH}"]
        problems = [problem for part in parts for problem in self.runs.verify(part)]
        if not problems or overwrite:
            return bool(problems)
        again = "train again with --overwrite" if group == MODELS else f"remove {group} there and run again"
        raise CorruptArtifactError(
            f"{self.runs.directory}/{problems[0].file}: {problems[0].problem}; restore it, or {again}"
        )


def keep_heads(
    runs: RunStore,
    group: str,
    training: Training,
    classes: Sequence[str],
    carried: Mapping[str, Json],
    sources: Sequence[str] = (),
) -> None:
    """Write what prediction needs beside each head, and what the group was trained on.

    Args:
        runs: the run directory.
        group: of the heads, which stand there.
        training: what was trained.
        classes: labels in the order of class indices.
        carried: as of `TrainClassifier`.
        sources: encoders that the heads read; empty for all.
    """
    encoders = {
        encoder: settings
        for encoder, settings in carried["encoders"].items()
        if not sources or encoder in sources
    }
    for head in training.heads:
        runs.write_document(
            f"{group}/seed-{head.seed}/model.json",
            {
                "format": 1,
                "task": "classify",
                "classes": list(classes),
                "encoders": encoders,
                "linear_path": training.path is not None,
                "seed": head.seed,
                "validation": dict(head.validation),
            },
        )
    document = {
        "carried": dict(carried),
        "seconds": training.seconds,
        "path": None if training.path is None else attrs.asdict(training.path),
        "heads": [attrs.asdict(head) for head in training.heads],
    }
    runs.write_document(f"{group}/{TRAINED}", document)


def void_heads(runs: RunStore, group: str) -> None:
    """Say that a group's heads are not to be trusted from now on."""
    runs.write_document(f"{group}/{TRAINED}", {"carried": None, "seconds": 0.0, "heads": []})


def _only(data: LabelledEmbeddings, sources: Sequence[str]) -> LabelledEmbeddings:
    if not sources:
        return data
    return LabelledEmbeddings({name: data.sources[name] for name in sources}, data.labels)
