"""Tune an encoder on pairs, mine hard negatives with it, and tune on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from time import perf_counter

import attrs

from fusionapp.application.ports.encoder_tuner import EncoderTuner, PairSet, Preflight, TunedEncoder
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.tracker import Tracker
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.mine_negatives import Mined, MineNegatives, with_negatives
from fusionapp.application.services.train_classifier import TRAINED
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.retrieval.recipe import TuningRecipe

GROUP, MODEL = "models", "model"


@attrs.frozen
class Round:
    """One training of one seed.

    Attributes:
        encoder: what it left behind.
        mined: hard negatives that it was trained with; None in the first round.
    """

    encoder: TunedEncoder
    mined: Mined | None = None


@attrs.frozen
class Tuning:
    """What tuning left behind.

    Attributes:
        seeds: by seed, its rounds; the last one's encoder is the seed's, since each round begins with the best
            weights of the one before and keeps them unless it finds better ones.
        seconds: spent now; the first run's where everything was there.
        reused: True where every encoder was there already.
    """

    seeds: Mapping[int, Sequence[Round]]
    seconds: float
    reused: bool = False

    @property
    def encoders(self) -> Mapping[int, TunedEncoder]:
        """Each seed's encoder."""
        return {seed: rounds[-1].encoder for seed, rounds in self.seeds.items()}

    @property
    def best_seed(self) -> int:
        """The seed of the best validation MRR: what `search` and `index` use."""
        return max(self.encoders, key=lambda seed: self.encoders[seed].validation["mrr@10"])


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
        self.open_tuner(None).preflight(recipe, len(train.pairs))  # refused before anything is removed
        self._void()
        start = perf_counter()
        rounds = {}
        for seed in seeds:
            group = f"{GROUP}/seed-{seed}"
            with self.runs.writing(group), closing(self.track(group)) as tracker:
                rounds[seed] = self._rounds(group, recipe, seed, train, validation, tracker)
        seconds = perf_counter() - start
        self.runs.write_document(f"{GROUP}/{TRAINED}", self._document(rounds, seconds, carried))
        return Tuning(rounds, seconds)

    def _rounds(
        self,
        group: str,
        recipe: TuningRecipe,
        seed: int,
        train: PairSet,
        validation: PairSet,
        tracker: Tracker,
    ) -> list[Round]:
        rounds: list[Round] = []
        for number in range(recipe.mining.rounds + 1):
            last = number == recipe.mining.rounds
            model = rounds[-1].encoder.directory if rounds else None
            mined = None if model is None else self.mine(model, recipe, train)
            encoder = self.open_tuner(model).tune(
                recipe=recipe,
                # A round that began like the one before would draw the same pools.
                seed=seed + 1000 * number,
                train=train if mined is None else with_negatives(train, mined.rows),
                validation=validation,
                directory=self.runs.path(group if last else f"{group}/rounds/{number}"),
                tracker=tracker,
                progress=self.progress,
            )
            rounds.append(Round(encoder, mined))
        return rounds

    def _document(
        self, rounds: Mapping[int, Sequence[Round]], seconds: float, carried: Mapping[str, Json]
    ) -> dict[str, Json]:
        seeds = {
            str(seed): [
                {
                    "encoder": attrs.asdict(attrs.evolve(one.encoder, directory="")),
                    "mined": None if one.mined is None else one.mined.summary(),
                }
                for one in of_seed
            ]
            for seed, of_seed in rounds.items()
        }
        return {"carried": dict(carried), "seconds": seconds, "seeds": seeds}

    def _void(self) -> None:
        """Trust nothing of an earlier training from now on, should this one be cut short."""
        found = self.runs.read_document(f"{GROUP}/{TRAINED}")
        if found is not None:
            for seed in found["seeds"]:
                self.runs.prune(f"{GROUP}/seed-{seed}", ())
            self.runs.write_document(f"{GROUP}/{TRAINED}", {"carried": None, "seconds": 0.0, "seeds": {}})

    def _reusable(self, seeds: Sequence[int], carried: Mapping[str, Json], overwrite: bool) -> Tuning | None:
        """What an earlier training left, or None where there is none or it is to be replaced."""
        found = self.runs.read_document(f"{GROUP}/{TRAINED}")
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


def read_tuning(runs: RunStore) -> Tuning | None:
    """The tuning that a run holds, or None."""
    found = runs.read_document(f"{GROUP}/{TRAINED}")
    if found is None or found["carried"] is None:
        return None
    return Tuning(
        {
            int(seed): [_round(runs, seed, number, one, len(rounds)) for number, one in enumerate(rounds)]
            for seed, rounds in found["seeds"].items()
        },
        found["seconds"],
        reused=True,
    )


def _round(runs: RunStore, seed: str, number: int, found: Mapping[str, Json], rounds: int) -> Round:
    group = f"{GROUP}/seed-{seed}"
    place = group if number == rounds - 1 else f"{group}/rounds/{number}"
    kept = found["encoder"]
    encoder = TunedEncoder(
        **{**kept, "preflight": Preflight(**kept["preflight"]), "directory": runs.path(f"{place}/{MODEL}")}
    )
    return Round(encoder, None if found["mined"] is None else Mined.of_summary(found["mined"]))
