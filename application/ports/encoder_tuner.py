"""Tuning one encoder on pairs of queries and documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.retrieval.recipe import TuningRecipe


@attrs.frozen(eq=False)
class PairSet:
    """Queries, documents, and which belong together.

    Attributes:
        queries: distinct queries' texts, without prefix.
        documents: distinct documents' texts, hard negatives included, without prefix.
        query_ids: their names.
        document_ids: their names.
        pairs: (pairs, 2) int64: query row, document row.
        grades: (pairs,) int64, at least 1.
        negatives: (pairs, most) int64 document rows that are hard negatives of the pair's query; -1 where none.
        topics: of each document, or None.
        labels: of each document, or None.
    """

    queries: Sequence[str]
    documents: Sequence[str]
    query_ids: Sequence[str]
    document_ids: Sequence[str]
    pairs: NDArray[np.int64]
    grades: NDArray[np.int64]
    negatives: NDArray[np.int64]
    topics: Sequence[str | None]
    labels: Sequence[str | None]


@attrs.frozen
class Preflight:
    """What tuning would train, found out before the first step.

    Attributes:
        method: of fine-tuning.
        trainable: numbers that are trained.
        parameters: all numbers of the encoder.
        dtypes: how many numbers are held in each dtype.
        learning_rate: step size.
        adapted: names of the modules that get an adapter; empty for other methods.
        advice: what to think over, one sentence each.
    """

    method: str
    trainable: int
    parameters: int
    dtypes: Mapping[str, int]
    learning_rate: float
    adapted: Sequence[str]
    advice: Sequence[str]


@attrs.frozen
class TunedEncoder:
    """A tuned encoder on disk.

    Attributes:
        directory: opens as a model: in fusionapp, sentence-transformers and text-embeddings-inference.
        preflight: what was trained.
        best_step: the optimizer step kept, chosen on validation; 0 is the untuned encoder.
        steps: optimizer steps run.
        validation: metrics at the best step: ``mrr@10``, ``loss``.
        untuned: the same before the first step.
        seconds: spent on training.
        pairs_per_second: trained pairs over those seconds.
        peak_memory_bytes: of the device; of the process on a CPU.
        drawn: pairs drawn by kind of topic (main, soft, ...); empty without a composition.
    """

    directory: str
    preflight: Preflight
    best_step: int
    steps: int
    validation: Mapping[str, float]
    untuned: Mapping[str, float]
    seconds: float
    pairs_per_second: float
    peak_memory_bytes: int
    drawn: Mapping[str, int]


class EncoderTuner(Protocol):
    """Tunes the one encoder that it was built for."""

    def preflight(self, recipe: TuningRecipe, pairs: int) -> Preflight:
        """What training on that many pairs would train.

        Raises:
            UsageError: the method would train nothing, leave adapters dead, or cannot run here, or the loss does
                not fit the encoder.
        """

    def tune(
        self,
        recipe: TuningRecipe,
        seed: int,
        train: PairSet,
        validation: PairSet,
        directory: str,
        tracker: Tracker,
        progress: Progress,
    ) -> TunedEncoder:
        """Train on `train`, stop and choose by MRR@10 of `validation`, and save the best under `directory`.

        ``directory/model`` is the tuned encoder; checkpoints stand beside it while it trains, and a run that was
        killed goes on from the last one, to the very weights that an undisturbed run reaches on the same CPU.

        Raises:
            UsageError: as `preflight`, or the recipe does not fit the data.
            ResourceError: memory or disk ran out.
            CorruptArtifactError: a checkpoint was changed.
        """
