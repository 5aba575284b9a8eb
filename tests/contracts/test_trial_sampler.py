"""Every sampler proposes within the space, and the same for the same trials."""

from __future__ import annotations

from math import log10
from statistics import fmean

import pytest
from fakes.samplers import RandomSampler

from fusionapp.adapters.optuna_search.sampler import OptunaSampler
from fusionapp.application.ports.trial_sampler import Trial, TrialSampler
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.search import Choice, Span, Values, apply_values, head_space

SPACE = (
    Span("train.learning_rate", 1e-4, 1e-2, log=True),
    Span("train.dropout", 0.0, 0.7),
    Choice("train.hidden_dims", ([256], [512, 256])),
)


@pytest.fixture(params=[OptunaSampler, RandomSampler])
def sampler(request: pytest.FixtureRequest) -> TrialSampler:
    built: TrialSampler = request.param()
    return built


def searched(sampler: TrialSampler, count: int, seed: int = 0) -> list[Trial]:
    trials: list[Trial] = []
    for _ in range(count):
        values = sampler.propose(SPACE, trials, seed)
        trials.append(Trial(values, score(values)))
    return trials


def score(values: Values) -> float:
    """Best at a learning rate of 1e-3, no dropout and the narrow head."""
    rate, dropout = float(values["train.learning_rate"]), float(values["train.dropout"])
    wide = 0.2 if values["train.hidden_dims"] != [256] else 0.0
    return -abs(log10(rate / 1e-3)) - dropout - wide


def test_proposals_lie_in_the_space(sampler: TrialSampler) -> None:
    for trial in searched(sampler, 12):
        assert set(trial.values) == {one.key for one in SPACE}
        assert all(one.holds(trial.values[one.key]) for one in SPACE)


def test_proposals_of_a_heads_space_are_settings(sampler: TrialSampler) -> None:
    space = head_space(FusionSpec(), TrainingRecipe(), 1000, 2, sparse=True, kinds=True)
    trials = [Trial({"train.learning_rate": 1.0}, 0.1), Trial({}, None, problem="no")]
    for seed in range(5):
        fusion, recipe = apply_values(sampler.propose(space, trials, seed), FusionSpec(), TrainingRecipe())
        assert not fusion.problems()
        assert recipe.seeds == 5


def test_the_same_trials_and_seed_give_the_same_proposal(sampler: TrialSampler) -> None:
    trials = searched(sampler, 10)
    again = type(sampler)()
    assert again.propose(SPACE, trials, 3) == sampler.propose(SPACE, trials, 3)
    assert sampler.propose(SPACE, trials, 4) != sampler.propose(SPACE, trials, 3)


def test_trials_are_not_all_alike(sampler: TrialSampler) -> None:
    assert len({trial.values["train.dropout"] for trial in searched(sampler, 8)}) == 8


def test_what_went_well_is_tried_more_closely_by_optuna() -> None:
    trials = searched(OptunaSampler(), 40)
    scores = [trial.score or 0.0 for trial in trials]
    assert fmean(scores[-15:]) > fmean(scores[:8]) + 0.2
