"""Score every round of a protocol beside its controls, and judge them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import attrs
import numpy as np

from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.deal_rounds import Round
from fusionapp.application.services.evaluate_classifier import (
    Contest,
    EvaluateClassifier,
    Evaluation,
    conclude,
)
from fusionapp.application.services.run_controls import Contender
from fusionapp.application.services.score_heads import write_scores
from fusionapp.application.services.train_classifier import TrainClassifier
from fusionapp.application.services.train_rounds import carried_by_round
from fusionapp.domain.embeddings import Json
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.metrics import accuracy
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.round_scores import judge_draws, judge_folds, pool
from fusionapp.domain.scores import Judged, Scores, deviation

Kind = Literal["folds", "shots"]


@attrs.frozen
class EvaluateRounds:
    """Judges a protocol's run.

    Attributes:
        train: by a round's name, finds its heads again.
        evaluate: by a round's name, scores it and its controls in its own run directory.
        runs: the protocol's run directory, which receives the folds' scores under one another.
        progress: told of every round.
    """

    train: Callable[[str], TrainClassifier]
    evaluate: Callable[[str], EvaluateClassifier]
    runs: RunStore
    progress: Progress

    def __call__(
        self,
        kind: Kind,
        protocol: Mapping[str, Json],
        rounds: Iterable[Round],
        count: int,
        name: str,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        label_column: str,
        draws: int,
        baselines: bool,
        costs: Sequence[float],
        carried: Mapping[str, Json],
    ) -> Evaluation:
        """One evaluation over all rounds.

        Args:
            kind: folds are pooled; draws are averaged, with intervals over draws and examples.
            protocol: what the evaluation says of the protocol; what each round gave is added.
            rounds: dealt one at a time.
            count: how many there are.
            name: what the result is called in the leaderboard.
            fusion: of the run.
            recipe: that heads and controls are trained by.
            seeds: of both.
            label_column: for messages.
            draws: bootstrap draws.
            baselines: whether to run the controls.
            costs: the linear controls' C values.
            carried: what makes a head what it is.
        """
        contests, described = [], []
        with self.progress.task("score rounds", total=count, unit="rounds") as task:
            for one in rounds:
                own = carried_by_round(carried, one)
                trained = self.train(one.rows.name)("models", fusion, recipe, seeds, one.data, own)
                contest = self.evaluate(one.rows.name).contend(
                    name,
                    fusion,
                    recipe,
                    seeds,
                    trained,
                    one.data,
                    one.test,
                    label_column,
                    baselines,
                    costs,
                    own,
                )
                # The embeddings of a fold are not needed any more.
                contests.append(attrs.evolve(contest, test=attrs.evolve(contest.test, sources={})))
                described.append(_describe(one, contest))
                task.advance(1)
                classes = one.data.classes
        if kind == "folds":
            self._keep_pooled(contests, classes)
        return _judge(kind, contests, draws, {**protocol, "rounds": described})

    def _keep_pooled(self, contests: Sequence[Contest], classes: Sequence[str]) -> None:
        """Every row's scores in the rows' order, so that runs over other folds can be paired with these."""
        tests = [contest.test for contest in contests]
        order = np.argsort(np.concatenate([test.rows for test in tests]))
        labels = [label for test in tests for label in test.labels]
        ids = [one for test in tests for one in test.ids]
        whole = attrs.evolve(
            tests[0],
            rows=np.concatenate([test.rows for test in tests])[order],
            labels=[labels[place] for place in order],
            ids=[ids[place] for place in order],
        )
        result = pool([contest.result.test for contest in contests])
        ensemble = pool([contest.ensemble for contest in contests])
        runs = {"seed": _ordered(result, order), "ensemble": _ordered(ensemble, order)}
        write_scores(self.runs, "result", whole, classes, runs)
        for position, control in enumerate(contests[0].controls):
            scores = pool([contest.controls[position].test for contest in contests])
            file = control.name.replace(" ", "-")
            write_scores(self.runs, file, whole, classes, {"seed": _ordered(scores, order)})


def _ordered(scores: Scores, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Scores:
    probabilities = None if scores.probabilities is None else scores.probabilities[:, order]
    return Scores(scores.predicted[:, order], probabilities)


def _judge(kind: Kind, contests: Sequence[Contest], draws: int, protocol: Mapping[str, Json]) -> Evaluation:
    def judged(scores: Sequence[Scores]) -> Judged:
        if kind == "folds":
            return judge_folds(scores, [contest.labels for contest in contests], draws)
        return judge_draws(scores, contests[0].labels, draws)

    def together(contenders: Sequence[Contender]) -> tuple[Contender, Judged]:
        return _merge(contenders), judged([one.test for one in contenders])

    tests = [contest.test for contest in contests]
    return conclude(
        "test",
        sum(len(test.rows) for test in tests) if kind == "folds" else len(tests[0].rows),
        int(protocol["left_out"]) if kind == "folds" else tests[0].left_out,
        together([contest.result for contest in contests]),
        judged([contest.ensemble for contest in contests]),
        [
            together([contest.controls[position] for contest in contests])
            for position in range(len(contests[0].controls))
        ],
        protocol,
    )


def _merge(contenders: Sequence[Contender]) -> Contender:
    """A contender over all rounds: mean validation with its deviation over rounds, seconds in total."""
    validation = np.array([one.validation for one in contenders])
    notes = Counter(one.note for one in contenders if one.note)
    return attrs.evolve(
        contenders[0],
        validation=float(validation.mean()),
        validation_sd=deviation(validation),
        seconds=sum(one.seconds for one in contenders),
        note=", ".join(
            note if times == len(contenders) else f"{note} x {times}" for note, times in notes.items()
        ),
    )


def _describe(one: Round, contest: Contest) -> dict[str, Json]:
    hits = [accuracy(contest.labels, run) for run in contest.result.test.predicted]
    return {
        "name": one.rows.name,
        "train": len(one.rows.train),
        "validation": len(one.rows.validation),
        "test": len(contest.labels),
        "accuracy": float(np.mean(hits)),
    }
