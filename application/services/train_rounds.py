"""Train every round of a protocol; rounds that stand there already are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.deal_rounds import Round
from fusionapp.application.services.train_classifier import TrainClassifier, Training
from fusionapp.domain.embeddings import Json, fingerprint
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

ROUNDS = "protocol/trained.json"


@attrs.frozen
class TrainRounds:
    """Trains one group of heads, all seeds at once, for each round.

    Attributes:
        train: by a round's name, what trains in its own run directory, ``protocol/NAME``.
        runs: the protocol's run directory.
        progress: told of every round.
    """

    train: Callable[[str], TrainClassifier]
    runs: RunStore
    progress: Progress

    def __call__(
        self,
        rounds: Iterable[Round],
        count: int,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        carried: Mapping[str, Json],
        protocol: Mapping[str, Json],
        overwrite: bool = False,
    ) -> list[Training]:
        """What each round's training left, in order.

        Args:
            rounds: dealt one at a time.
            count: how many there are.
            fusion: how sources are fused.
            recipe: how heads are trained.
            seeds: one head each, the same in every round.
            carried: what makes a head what it is; a round adds its rows.
            protocol: which rounds there are, kept to recognise them by.
            overwrite: train heads anew that stand there and were changed since.
        """
        trained, described = [], []
        with self.progress.task("train rounds", total=count, unit="rounds") as task:
            for one in rounds:
                own = carried_by_round(carried, one)
                train = self.train(one.rows.name)
                training = train("models", fusion, recipe, seeds, one.data, own, overwrite=overwrite)
                trained.append(training)
                described.append(_describe(one, training))
                task.advance(1)
        self.runs.write_document(
            ROUNDS, {"carried": dict(carried), "protocol": dict(protocol), "rounds": described}
        )
        return trained


def carried_by_round(carried: Mapping[str, Json], one: Round) -> dict[str, Json]:
    """What a round's heads carry: the run's, and which rows are theirs."""
    rows = {part: getattr(one.rows, part).tolist() for part in ("train", "validation")}
    return {**carried, "round": {"name": one.rows.name, "rows": fingerprint(rows)}}


def _describe(one: Round, training: Training) -> dict[str, Json]:
    return {
        "name": one.rows.name,
        "train": len(one.rows.train),
        "validation": len(one.rows.validation),
        "test": len(one.test.rows),
        "seconds": training.seconds,
    }
