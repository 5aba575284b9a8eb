"""Training fusion heads over stored embeddings, and scoring with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe


@attrs.frozen(eq=False)
class LabelledEmbeddings:
    """Rows that a head is trained or chosen on.

    Attributes:
        sources: by encoder name, in file order: dense (rows, layers, dim) float32 or CSR (rows, vocabulary).
        labels: (rows,) int64 class indices.
        linear: (rows, classes) float32 decision values of the linear path, which the head's logits are added to;
            of train rows they come from models that did not see the row. None without such a path.
    """

    sources: Mapping[str, Embeddings]
    labels: NDArray[np.int64]
    linear: NDArray[np.float32] | None = None


@attrs.frozen
class TrainedHead:
    """One seed's head on disk.

    Attributes:
        directory: where its artefact stands (``head.safetensors`` and ``head.json``).
        seed: which seed.
        best_epoch: the epoch kept, counted from 1, chosen on validation.
        epochs: epochs run before it stopped.
        parameters: trained numbers in the head.
        validation: metrics on validation at the best epoch: accuracy, macro_f1, weighted_f1, loss.
    """

    directory: str
    seed: int
    best_epoch: int
    epochs: int
    parameters: int
    validation: Mapping[str, float]


class HeadTrainer(Protocol):
    """Trains one head per seed, all of them at once."""

    def train(
        self,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        classes: int,
        train: LabelledEmbeddings,
        validation: LabelledEmbeddings,
        directories: Sequence[str],
        tracker: Tracker,
        progress: Progress,
    ) -> Sequence[TrainedHead]:
        """Train on `train`, stop and choose on `validation`, and save seed i's head in directories[i].

        Raises:
            UsageError: the fusion cannot be built over these sources.
            ResourceError: it does not fit in memory.
        """


class HeadScorer(Protocol):
    """Scores embeddings with saved heads."""

    def score(
        self,
        directories: Sequence[str],
        sources: Mapping[str, Embeddings],
        linear: NDArray[np.float32] | None = None,
        batch_rows: int = 1024,
    ) -> NDArray[np.float32]:
        """Calibrated class probabilities of each head: (heads, rows, classes), each row summing to 1.

        Args:
            directories: of the heads.
            sources: by encoder name, the ones that the heads were trained on.
            linear: (rows, classes) decision values of the linear path, for heads trained beside one.
            batch_rows: rows scored at a time.

        Raises:
            UsageError: the sources or the linear path are not those that a head was trained on.
            CorruptArtifactError: an artefact is missing or unreadable.
        """
