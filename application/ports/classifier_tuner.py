"""Tuning encoders together with the heads that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from fusionapp.application.ports.encoder_tuner import Preflight
from fusionapp.application.ports.heads import LabelledEmbeddings, TrainedHead
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.embeddings import Json
from fusionapp.domain.recipe import TrainingRecipe


@attrs.frozen(eq=False)
class TuningRows:
    """Rows that encoders and heads are tuned on, or chosen by.

    Attributes:
        embeddings: labels, and frozen embeddings of every source; `linear` is of a path over sources that are not
            tuned, or None.
        texts: of the same rows.
    """

    embeddings: LabelledEmbeddings
    texts: Sequence[str]


@attrs.frozen
class JointlyTuned:
    """What tuning left on disk.

    Attributes:
        heads: one per seed; `best_epoch` is 0 where no step improved on the frozen heads.
        encoders: of each tuned encoder, the keys of its table by which the saved one is read.
        preflights: what was trained of each.
        steps: run before it stopped.
        best_step: whose weights are kept.
        seconds: spent.
    """

    heads: Sequence[TrainedHead]
    encoders: Mapping[str, Mapping[str, Json]]
    preflights: Mapping[str, Preflight]
    steps: int
    best_step: int
    seconds: float


class ClassifierTuner(Protocol):
    """Tunes encoders, each shared by all seeds, with one head per seed."""

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
        """Tune on `train`, stop and choose on `validation`, and save heads and encoders.

        Args:
            recipe: of heads and tuning.
            encoders: which sources are tuned.
            start: directories of the frozen heads that the tuned ones start from, a seed each.
            seed: of the order of rows and of what encoders draw.
            train: rows to learn from.
            validation: rows to choose by.
            heads: where to save the tuned heads, one directory for each of `start`.
            directories: where to save each encoder, as ``model`` in it.
            tracker: told of every scoring.
            progress: told of every step.

        Raises:
            UsageError: an encoder cannot be tuned by this recipe, or the loss is not finite.
            CorruptArtifactError: a head to start from is broken.
            ResourceError: memory or disk ran out.
        """
