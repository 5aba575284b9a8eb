"""Tune an encoder on pairs, mine hard negatives with it, and tune on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from time import perf_counter

import attrs

from fusionapp.application.ports.encoder_tuner import EncoderTuner, PairSet
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.tracker import Tracker
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.mine_negatives import MineNegatives, with_negatives
from fusionapp.application.services.train_classifier import TRAINED
from fusionapp.application.services.tuned_rounds import (
    BEGUN,
    GROUP,
    NOTHING,
    Round,
    Tuning,
    read_document,
    read_round,
    read_tuning,
    round_place,
    tuning_document,
)
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.retrieval.drawing import rows_by_kind
from fusionapp.domain.retrieval.recipe import TuningRecipe

logger = logging.getLogger(__name__)


@attrs.frozen
class TuneEncoder:
    """Tunes the run's encoder, once for each seed.

    Attributes:
        open_tuner: opens the encoder to be tuned: the experiment's own, or one that an earlier round saved.
        mine: finds hard negatives.
        runs: the run directory.
        track: opens the tracker of a group.
        progress: told of every step.
    """

    open_tuner: Callable[[str | None], EncoderTuner]
    mine: MineNegatives
    runs: RunStore
    track: Callable[[str], Tracker]
    progress: Progress

    def __call__(
        self,
        recipe: TuningRecipe,
        seeds: Sequence[int],
        train: PairSet,
        validation: PairSet,
        carried: Mapping[str, Json],
        overwrite: bool = False,
    ) -> Tuning:
        """Tune one encoder a seed, or return those that stand there already, tuned on the same data.

        A call that was killed is gone on with: rounds that it finished are kept.

        Args:
            recipe: how.
            seeds: one encoder each.
            train: what it is tuned on.
            validation: what training stops and chooses by.
            carried: kept to recognise data and settings.
            overwrite: replace encoders of other data or settings, and such as were changed since.

        Raises:
            UsageError: the recipe cannot be followed with this encoder or these data, or encoders of other data or
                settings stand there and `overwrite` is not set.
            CorruptArtifactError: an encoder that stands there was changed, and `overwrite` is not set.
        """
        found = self._reusable(seeds, carried, overwrite)
        if found is not None:
            return found
        # Refused before anything is removed.
        self.open_tuner(None).preflight(recipe, len(train.pairs))
        _check_topics(recipe, train)
        begun = self._begun(recipe, seeds, carried)
        if not begun.seeds:
            self._void()
        start = perf_counter() - begun.seconds
        rounds = {seed: list(begun.seeds.get(seed, ())) for seed in seeds}
        for seed, mine in rounds.items():
            for one in self._missing(recipe, seed, tuple(mine), train, validation):
                mine.append(one)
                so_far = tuning_document(rounds, perf_counter() - start, carried)
                self.runs.write_document(f"{GROUP}/{TRAINED}", {**NOTHING, BEGUN: so_far})
        tuning = Tuning(rounds, perf_counter() - start)
        self.runs.write_document(f"{GROUP}/{TRAINED}", tuning_document(tuning.seeds, tuning.seconds, carried))
        return tuning

    def _missing(
        self,
        recipe: TuningRecipe,
        seed: int,
        before: Sequence[Round],
        train: PairSet,
        validation: PairSet,
    ) -> Iterator[Round]:
        """A seed's rounds after those that stand there."""
        group, rounds = f"{GROUP}/seed-{seed}", list(before)
        if len(rounds) > recipe.mining.rounds:
            return
        with closing(self.track(group)) as tracker:
            while len(rounds) <= recipe.mining.rounds:
                rounds.append(self._round(group, recipe, seed, rounds, train, validation, tracker))
                yield rounds[-1]

    def _round(
        self,
        group: str,
        recipe: TuningRecipe,
        seed: int,
        before: Sequence[Round],
        train: PairSet,
        validation: PairSet,
        tracker: Tracker,
    ) -> Round:
        number = len(before)
        model = before[-1].encoder.directory if before else None
        mined = None if model is None else self.mine(model, recipe, train)
        place = round_place(group, number, recipe.mining.rounds)
        with self.runs.writing(place):
            if place == group:
                # What stands below it is not being written, and is known again if this round is cut short.
                for earlier in range(number):
                    self.runs.record(round_place(group, earlier, recipe.mining.rounds))
            encoder = self.open_tuner(model).tune(
                recipe=recipe,
                # A round that began like the one before would draw the same pools.
                seed=seed + 1000 * number,
                train=train if mined is None else with_negatives(train, mined.rows),
                validation=validation,
                directory=self.runs.path(place),
                tracker=tracker,
                progress=self.progress,
            )
        return Round(encoder, mined)

    def _begun(self, recipe: TuningRecipe, seeds: Sequence[int], carried: Mapping[str, Json]) -> Tuning:
        """The rounds that a call of the same data and settings finished before it was cut short."""
        found = read_document(self.runs)
        begun = None if found is None or found["carried"] is not None else found.get(BEGUN)
        if begun is None or any(differences(begun["carried"], dict(carried))):
            return Tuning({}, 0.0)
        whole: dict[int, list[Round]] = {}
        for seed in seeds:
            kept = begun["seeds"].get(str(seed), [])
            for number, one in enumerate(kept):
                place = round_place(f"{GROUP}/seed-{seed}", number, recipe.mining.rounds)
                if self.runs.verify(place):
                    logger.warning("%s/%s was changed since; it is tuned anew", self.runs.directory, place)
                    break
                whole.setdefault(seed, []).append(read_round(self.runs, place, one))
        return Tuning(whole, begun["seconds"])

    def _void(self) -> None:
        """Trust nothing of an earlier training from now on, should this one be cut short."""
        found = read_document(self.runs)
        if found is not None:
            for seed in {**found["seeds"], **(found.get(BEGUN) or NOTHING)["seeds"]}:
                self.runs.prune(f"{GROUP}/seed-{seed}", ())
            self.runs.write_document(f"{GROUP}/{TRAINED}", dict(NOTHING))

    def _reusable(self, seeds: Sequence[int], carried: Mapping[str, Json], overwrite: bool) -> Tuning | None:
        """What an earlier training left, or None where there is none or it is to be replaced."""
        found = read_document(self.runs)
        if found is None or found["carried"] is None:
            return None
        other = list(found["seeds"]) != [str(seed) for seed in seeds]
        if other or any(differences(found["carried"], dict(carried))):
            if overwrite:
                return None
            raise UsageError(
                f"{self.runs.directory}: the data, the encoder or the settings changed since it was tuned; choose "
                "another `name`, or give --overwrite to tune again"
            )
        changed = self.runs.verify(GROUP)
        if changed and overwrite:
            return None
        if changed:
            raise CorruptArtifactError(
                f"{self.runs.directory}/{changed[0].file}: {changed[0].problem}; train again with --overwrite"
            )
        return read_tuning(self.runs)


def _check_topics(recipe: TuningRecipe, train: PairSet) -> None:
    """Refuse a composition that the data cannot have, and say what it leaves out."""
    if recipe.composition is None:
        return
    topics = list(train.topics)
    rows = rows_by_kind([topics[row] for row in train.pairs[:, 1].tolist()], recipe.composition)
    left = len(train.pairs) - sum(map(len, rows.values()))
    if left:
        logger.warning(
            "train.composition: %d of %d training pairs have topics that no kind names, and are never drawn",
            left,
            len(train.pairs),
        )
