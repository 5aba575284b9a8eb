"""How many steps a recipe takes on so many pairs, and when it is scored."""

from __future__ import annotations

import attrs

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.recipe import TuningRecipe


@attrs.frozen
class StepPlan:
    """The steps of a run.

    Attributes:
        pools: in an optimizer step.
        epoch_steps: optimizer steps of an epoch.
        steps: of the run.
        scored: after which steps of an epoch, counted from 1, validation is scored; the last one is among them.
    """

    pools: int
    epoch_steps: int
    steps: int
    scored: frozenset[int]

    def scores_after(self, step: int) -> bool:
        """Whether validation is scored after so many steps of the run."""
        return (step - 1) % self.epoch_steps + 1 in self.scored


def plan_steps(recipe: TuningRecipe, pairs: int) -> StepPlan:
    """Work it out.

    Raises:
        UsageError: too few pairs for a step, or `optimizer_batch` is no multiple of `negatives_pool`.
    """
    batch = recipe.optimizer_batch or recipe.negatives_pool
    if batch % recipe.negatives_pool:
        raise UsageError(
            f"train.optimizer_batch: {batch} is no multiple of negatives_pool = {recipe.negatives_pool}; a step "
            "adds up whole pools"
        )
    if pairs < batch:
        name = "optimizer_batch" if recipe.optimizer_batch else "negatives_pool"
        raise UsageError(f"train.{name}: {batch} pairs make a step, but there are only {pairs}; lower it")
    epoch_steps = pairs // batch
    scored = {-(-epoch_steps * part // recipe.evaluations) for part in range(1, recipe.evaluations + 1)}
    return StepPlan(
        batch // recipe.negatives_pool, epoch_steps, epoch_steps * recipe.epochs, frozenset(scored)
    )
