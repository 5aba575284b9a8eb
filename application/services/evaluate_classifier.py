"""Score a split once, beside its controls, and say no more than the examples allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.prepare_classification import ClassificationData, encode_labels
from fusionapp.application.services.run_controls import Contender, RunControls
from fusionapp.application.services.score_heads import ScoreHeads, write_scores
from fusionapp.application.services.train_classifier import Training
from fusionapp.domain.embeddings import Json
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.scores import Judged, Scores, Summary, compare, judge
from fusionapp.domain.statistics.bootstrap import Difference
from fusionapp.domain.statistics.holm import holm
from fusionapp.domain.statistics.verdict import Verdict, verdict


@attrs.frozen
class LeaderboardRow:
    """One contender with its numbers.

    Attributes:
        name: the fusion's kind, "ensemble of seeds", or the control's name.
        validation: mean validation accuracy, which the leaderboard is ranked by; None where there is none.
        validation_sd: over seeds.
        metrics: on the split that was judged.
        seconds: training time.
        parameters: trained numbers, where they were counted.
        note: what was chosen (a linear model's C).
        verdict: the result against this control; "" for the result itself.
    """

    name: str
    validation: float | None
    validation_sd: float
    metrics: Mapping[str, Summary]
    seconds: float
    parameters: int | None
    note: str
    verdict: Verdict | str


@attrs.frozen
class Evaluation:
    """A result beside its controls.

    Attributes:
        split: which split was scored.
        rows: examples scored.
        left_out: examples of the split that an encoder quarantined, and that no contender is judged by.
        result: the mean of seeds.
        ensemble: the ensemble of seeds, which `predict` uses.
        controls: by name.
        verdicts: the result against each control, on accuracy, corrected by Holm.
        differences: accuracy of the result less each control's, with interval and raw p-value.
        leaderboard: every contender, ranked by validation accuracy.
        protocol: of a k-fold or few-shot run: which, and what each round of it gave; None of a single split.
    """

    split: str
    rows: int
    left_out: int
    result: Mapping[str, Summary]
    ensemble: Mapping[str, Summary]
    controls: Mapping[str, Mapping[str, Summary]]
    verdicts: Mapping[str, Verdict]
    differences: Mapping[str, Difference]
    leaderboard: Sequence[LeaderboardRow]
    protocol: Mapping[str, Json] | None = None


@attrs.frozen(eq=False)
class Contest:
    """What everyone said of the same rows, before it is judged.

    Attributes:
        test: the rows.
        labels: (rows,) their class indices.
        result: the run's own heads.
        ensemble: their ensemble.
        controls: whom they are held against.
    """

    test: SplitEmbeddings
    labels: NDArray[np.int64]
    result: Contender
    ensemble: Scores
    controls: Sequence[Contender]


@attrs.frozen
class EvaluateClassifier:
    """Judges a trained run.

    Attributes:
        score: runs the heads.
        controls: trains and runs the controls.
        runs: the run directory, which receives per-example scores.
    """

    score: ScoreHeads
    controls: RunControls
    runs: RunStore

    def __call__(
        self,
        name: str,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        trained: Training,
        data: ClassificationData,
        test: SplitEmbeddings,
        label_column: str,
        draws: int,
        baselines: bool,
        costs: Sequence[float],
        carried: Mapping[str, Json],
        tuned: Sequence[str] = (),
        beside: Sequence[Contender] = (),
    ) -> Evaluation:
        """Score `test` with the run's heads and, if asked, with every control.

        Args:
            name: what the result is called in the leaderboard.
            fusion: of the run; the controls share its bag width.
            recipe: that the run's heads were trained by, and the controls' are.
            seeds: of both.
            trained: the run's heads.
            data: what they were trained on.
            test: the rows to judge by.
            label_column: for messages.
            draws: bootstrap draws.
            baselines: whether to run the controls.
            costs: the linear controls' C values.
            carried: what the controls' heads carry.
            tuned: sources whose encoders were tuned on the train rows.
            beside: further controls, trained and run already.

        Raises:
            DatasetError: a test label does not occur in train.
        """
        contest = self.contend(
            name,
            fusion,
            recipe,
            seeds,
            trained,
            data,
            test,
            label_column,
            baselines,
            costs,
            carried,
            tuned,
            beside,
        )
        return conclude(
            test.split,
            len(test.rows),
            test.left_out,
            (contest.result, judge(contest.result.test, contest.labels, draws)),
            judge(contest.ensemble, contest.labels, draws),
            [(control, judge(control.test, contest.labels, draws)) for control in contest.controls],
        )

    def contend(
        self,
        name: str,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        trained: Training,
        data: ClassificationData,
        test: SplitEmbeddings,
        label_column: str,
        baselines: bool,
        costs: Sequence[float],
        carried: Mapping[str, Json],
        tuned: Sequence[str] = (),
        beside: Sequence[Contender] = (),
    ) -> Contest:
        """The same without the judging: what everyone says, kept for each example."""
        labels = encode_labels(test, data.classes, label_column)
        scores = self.score("models", seeds, test)
        write_scores(
            self.runs, "result", test, data.classes, {"seed": scores.seeds, "ensemble": scores.ensemble}
        )
        result = Contender.of_heads(name, trained, scores.seeds)
        controls = list(beside)
        if baselines:
            controls += self.controls.path(trained, scores)
            controls += self.controls(fusion, recipe, seeds, data, test, costs, carried, tuned)
        for control in controls:
            write_scores(
                self.runs, control.name.replace(" ", "-"), test, data.classes, {"seed": control.test}
            )
        return Contest(test, labels, result, scores.ensemble, controls)


def conclude(
    split: str,
    rows: int,
    left_out: int,
    result: tuple[Contender, Judged],
    ensemble: Judged,
    controls: Sequence[tuple[Contender, Judged]],
    protocol: Mapping[str, Json] | None = None,
) -> Evaluation:
    """The evaluation of contenders that were judged by the same rows and draws."""
    contender, judged = result
    differences = {control.name: compare(judged, other) for control, other in controls}
    adjusted = holm({name: difference.p_value for name, difference in differences.items()})
    verdicts = {name: verdict(differences[name].interval, adjusted[name]) for name in differences}
    ranked = [
        _row(contender, judged, ""),
        *(_row(control, other, verdicts[control.name]) for control, other in controls),
    ]
    ranked.sort(key=lambda row: -(row.validation or 0.0))
    ranked.append(LeaderboardRow("ensemble of seeds", None, 0.0, ensemble.metrics, 0.0, None, "", ""))
    return Evaluation(
        split=split,
        rows=rows,
        left_out=left_out,
        result=judged.metrics,
        ensemble=ensemble.metrics,
        controls={control.name: other.metrics for control, other in controls},
        verdicts=verdicts,
        differences=differences,
        leaderboard=ranked,
        protocol=protocol,
    )


def _row(contender: Contender, judged: Judged, said: Verdict | str) -> LeaderboardRow:
    return LeaderboardRow(
        name=contender.name,
        validation=contender.validation,
        validation_sd=contender.validation_sd,
        metrics=judged.metrics,
        seconds=contender.seconds,
        parameters=contender.parameters,
        note=contender.note,
        verdict=said,
    )
