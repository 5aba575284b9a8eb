"""Proposals by the tree-structured Parzen estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusionapp.application.ports.trial_sampler import Trial, TrialSampler
from fusionapp.domain.errors import UsageError
from fusionapp.domain.search import Choice, Parameter, Values

RANDOM_TRIALS = 8


class OptunaSampler(TrialSampler):
    """TPE (Bergstra et al. 2011) over the trials so far, the first `RANDOM_TRIALS` of them drawn at random.

    The study is built anew for each proposal, its sampler seeded by the search's seed and the number of trials:
    nothing but the trials has to survive a crash.
    """

    def __init__(self) -> None:
        """Import Optuna.

        Raises:
            UsageError: it is not installed.
        """
        try:
            import optuna
        except ImportError as error:
            raise UsageError(
                "--search needs the extra `search` of fusionapp (optuna); install it, or train without --search"
            ) from error
        self._optuna = optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def propose(self, space: Sequence[Parameter], trials: Sequence[Trial], seed: int) -> Values:
        """See `TrialSampler.propose`; trials with values outside the space, or without a score, teach nothing."""
        optuna = self._optuna
        sampler = optuna.samplers.TPESampler(seed=seed + len(trials), n_startup_trials=RANDOM_TRIALS)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        distributions = {parameter.key: self._distribution(parameter) for parameter in space}
        for trial in trials:
            if trial.score is not None and all(one.holds(trial.values.get(one.key)) for one in space):
                study.add_trial(
                    optuna.trial.create_trial(
                        params={one.key: _coded(one, trial.values[one.key]) for one in space},
                        distributions=distributions,
                        value=trial.score,
                    )
                )
        asked = study.ask(distributions)
        return {one.key: _decoded(one, asked.params[one.key]) for one in space}

    def _distribution(self, parameter: Parameter) -> Any:
        if isinstance(parameter, Choice):
            return self._optuna.distributions.CategoricalDistribution(tuple(range(len(parameter.options))))
        return self._optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _coded(parameter: Parameter, value: Any) -> Any:
    """Options go by their number: Optuna's categories hold no lists."""
    return parameter.options.index(value) if isinstance(parameter, Choice) else value


def _decoded(parameter: Parameter, value: Any) -> Any:
    """Numbers are rounded to four digits, which people can read and paste."""
    if isinstance(parameter, Choice):
        return parameter.options[value]
    return min(max(float(f"{value:.4g}"), parameter.low), parameter.high)
