"""Fit the tuned linear control once for all results that are held against it, and keep what it said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter

import attrs

from fusionapp.application.ports.linear_control import LinearControl, LinearKind
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.prepare_classification import ClassificationData, encode_labels
from fusionapp.application.services.score_heads import write_scores
from fusionapp.domain.recipe import SourceRecipe
from fusionapp.domain.scores import Scores, Summary, judge


@attrs.frozen
class LinearResult:
    """A linear control with its numbers.

    Attributes:
        cost: the C chosen on validation.
        validation: its validation accuracy.
        metrics: on the split that was scored.
        seconds: of all fits.
    """

    cost: float
    validation: float
    metrics: Mapping[str, Summary]
    seconds: float


@attrs.frozen
class ScoreLinearControl:
    """Fits a linear model over a run's embeddings and scores a split with it.

    Attributes:
        linear: fits.
        runs: the run directory, which receives ``KIND-SPLIT.json`` and per-example scores.
        progress: told of the fits.
    """

    linear: LinearControl
    runs: RunStore
    progress: Progress

    def __call__(
        self,
        kind: LinearKind,
        data: ClassificationData,
        test: SplitEmbeddings,
        recipes: Mapping[str, SourceRecipe],
        costs: Sequence[float],
        label_column: str,
        draws: int,
        basis: str,
    ) -> LinearResult:
        """Fit, score `test`, and keep both under `basis`.

        Args:
            kind: which linear model.
            data: what it is fitted on, and C chosen by.
            test: the rows to score.
            recipes: how sources enter, by name.
            costs: C values to try.
            label_column: for messages.
            draws: bootstrap draws of the intervals.
            basis: a fingerprint of everything that the numbers depend on.

        Raises:
            DatasetError: a test label does not occur in train.
        """
        labels = encode_labels(test, data.classes, label_column)
        start = perf_counter()
        fitted = self.linear.fit(
            kind, len(data.classes), data.train, data.validation, test.sources, recipes, costs, self.progress
        )
        seconds = perf_counter() - start
        scores = Scores.of(fitted.test[None], fitted.probabilistic)
        write_scores(self.runs, "result", test, data.classes, {"seed": scores, "ensemble": scores})
        metrics = dict(judge(scores, labels, draws).metrics)
        result = LinearResult(fitted.cost, max(fitted.tried.values()), metrics, seconds)
        self.runs.write_document(_name(kind, test.split), {"basis": basis, **attrs.asdict(result)})
        return result

    def kept(self, kind: LinearKind, split: str, basis: str) -> LinearResult | None:
        """What an earlier call found under the same `basis`, or None."""
        earlier = self.runs.read_document(_name(kind, split))
        if earlier is None or earlier["basis"] != basis:
            return None
        metrics = {metric: Summary(**values) for metric, values in earlier["metrics"].items()}
        return LinearResult(earlier["cost"], earlier["validation"], metrics, earlier["seconds"])


def _name(kind: LinearKind, split: str) -> str:
    return f"{kind}-{split}.json"
