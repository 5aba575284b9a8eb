"""Tune a head's settings on validation, and change them only where the gain is more than noise."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import attrs

from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.trial_sampler import Trial, TrialSampler
from fusionapp.application.services.guard_experiment import essential
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.try_settings import Paths, TrySettings
from fusionapp.domain.embeddings import Json, fingerprint
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.search import Parameter, Values, settings_of
from fusionapp.domain.statistics.gain import gain_error

logger = logging.getLogger(__name__)

SEARCH = "search.json"
TRIAL_SEEDS = 2


@attrs.frozen
class Decision:
    """What a search came to.

    Attributes:
        tuned: whether the best trial's settings take the place of the experiment's own.
        values: the settings to train by, by dotted key: the best trial's, or the experiment's own.
        own: validation score of the own settings, trained anew by the run's seeds; more is better.
        best: the same of the best trial's settings.
        noise: one standard error of the difference, over validation rows and seeds.
        trials: how many trials it was chosen from.
    """

    tuned: bool
    values: Values
    own: float
    best: float
    noise: float
    trials: int


@attrs.frozen
class Search:
    """A search as it stands in ``search.json``.

    Attributes:
        basis: a fingerprint of what its trials depend on.
        settings: the experiment's own seed, fusion and train tables, which the search started from.
        metric: of validation.
        trials: in order; the first is the experiment's own settings.
        decision: None while it is not over.
    """

    basis: str
    settings: Mapping[str, Json]
    metric: str
    trials: Sequence[Trial] = ()
    decision: Decision | None = None


@attrs.frozen
class SearchRecipe:
    """Runs trials one after the other, each with few seeds, and keeps every one of them.

    Attributes:
        attempt: trains a trial.
        sampler: proposes settings.
        runs: the run directory, which receives ``search.json``.
        progress: told of every trial.
    """

    attempt: TrySettings
    sampler: TrialSampler
    runs: RunStore
    progress: Progress

    def __call__(
        self,
        settings: Mapping[str, Json],
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        space: Sequence[Parameter],
        seeds: Sequence[int],
        data: ClassificationData,
        carried: Mapping[str, Json],
        trials: int,
        seconds: float | None = None,
        anew: bool = False,
    ) -> Search:
        """Search until there are so many trials, going on from what an earlier call left, and decide.

        Args:
            settings: the experiment's own tables, kept to recognise it by.
            fusion: its own.
            recipe: its own.
            space: what may change.
            seeds: of the final training; trials are trained by the ones that follow.
            data: trained on and chosen by; no test rows.
            carried: what makes the data what they are.
            trials: how many in all, the own settings included.
            seconds: training time of all trials after which no more is started.
            anew: forget an earlier search.

        Raises:
            UsageError: the own settings cannot be trained, or what an earlier search went by changed.
        """
        basis = search_basis(carried, space)
        found = None if anew else read_search(self.runs)
        if found is not None and found.basis != basis:
            raise UsageError(
                f"{self.runs.directory}/{SEARCH}: the data, the settings or the space changed since; give "
                "--overwrite to search anew, or choose another `name`"
            )
        if found is None:
            found = Search(basis, settings, recipe.metric)
        paths: Paths = {}
        done = self._trials(found, fusion, recipe, space, seeds, data, paths, trials, seconds)
        if found.decision is not None and found.decision.trials == len(done):
            return found
        decision = self._decide(done, fusion, recipe, seeds, data, paths)
        return self._keep(attrs.evolve(found, trials=done, decision=decision))

    def _trials(
        self,
        found: Search,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        space: Sequence[Parameter],
        seeds: Sequence[int],
        data: ClassificationData,
        paths: Paths,
        trials: int,
        seconds: float | None,
    ) -> list[Trial]:
        own = settings_of(fusion, recipe)
        later = [max(seeds) + 1 + position for position in range(TRIAL_SEEDS)]
        done = list(found.trials)
        with self.progress.task(
            "search", total=max(trials, len(done)), unit="trials", done=len(done)
        ) as task:
            while len(done) < trials and not _spent(done, seconds):
                values = {one.key: own[one.key] for one in space}
                if done:
                    values = dict(self.sampler.propose(space, done, seeds[0]))
                trial = self.attempt(values, fusion, recipe, later, data, paths)
                if not done and trial.score is None:
                    raise UsageError(f"the experiment's own settings cannot be trained: {trial.problem}")
                done.append(trial)
                self._keep(attrs.evolve(found, trials=done))
                task.advance(1, best=_best(done).score or 0.0)
        return done

    def _decide(
        self,
        trials: Sequence[Trial],
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        data: ClassificationData,
        paths: Paths,
    ) -> Decision:
        """Hold the best trial against the own settings, both trained anew by the run's own seeds.

        The best of many is partly lucky. New seeds undo the luck of seeds; against that of rows the gain has to
        exceed one standard error (after the one-standard-error rule of Breiman et al. 1984).
        """
        own, best = trials[0], _best(trials)
        mine = self.attempt.judge(own.values, fusion, recipe, seeds, data, paths)
        score = float(mine.by_seed.mean())
        if best is own:
            return Decision(False, own.values, score, score, 0.0, len(trials))
        other = self.attempt.judge(best.values, fusion, recipe, seeds, data, paths)
        noise = gain_error(mine.by_seed, other.by_seed, (mine.replicates, other.replicates))
        reached = float(other.by_seed.mean())
        tuned = reached - score > noise
        return Decision(tuned, best.values if tuned else own.values, score, reached, noise, len(trials))

    def _keep(self, search: Search) -> Search:
        self.runs.write_document(SEARCH, {"format": 1, **attrs.asdict(search)})
        return search


def search_basis(carried: Mapping[str, Json], space: Sequence[Parameter]) -> str:
    """A fingerprint of what a search goes by; on which device is no part of it."""
    return fingerprint({"carried": essential(dict(carried)), "space": [attrs.asdict(one) for one in space]})


def read_search(runs: RunStore) -> Search | None:
    """The search that a run holds, or None.

    Raises:
        CorruptArtifactError: ``search.json`` is not one.
    """
    document = runs.read_document(SEARCH)
    if document is None:
        return None
    try:
        decision = document["decision"]
        return Search(
            basis=document["basis"],
            settings=document["settings"],
            metric=document["metric"],
            trials=[Trial(**{**one, "by_seed": tuple(one["by_seed"])}) for one in document["trials"]],
            decision=None if decision is None else Decision(**decision),
        )
    except (KeyError, TypeError) as error:
        raise CorruptArtifactError(
            f"{runs.directory}/{SEARCH}: is no search ({error}); remove it to search anew"
        ) from error


def _spent(trials: Sequence[Trial], seconds: float | None) -> bool:
    """Whether the budget is used up; the own settings are always tried."""
    return bool(trials) and seconds is not None and sum(one.seconds for one in trials) >= seconds


def _best(trials: Sequence[Trial]) -> Trial:
    """The first of those that scored most."""
    return max((one for one in trials if one.score is not None), key=lambda one: one.score or 0.0)
