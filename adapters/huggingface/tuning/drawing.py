"""Which pairs make each pool of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.huggingface.tuning.plan import StepPlan
from fusionapp.adapters.huggingface.tuning.pools import Pool, make_pool
from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.domain.retrieval.composition import Kind
from fusionapp.domain.retrieval.drawing import KindDrawer
from fusionapp.domain.retrieval.recipe import TuningRecipe


@attrs.frozen(eq=False)
class Draw:
    """The pools of one optimizer step.

    Attributes:
        pools: of it.
        drawn: their pairs by kind of topic; empty without a composition.
    """

    pools: list[Pool]
    drawn: Mapping[str, int]


def draw_pools(recipe: TuningRecipe, plan: StepPlan, data: PairSet, seed: int) -> Iterator[Draw]:
    """Every step's pools, in order; the same for the same arguments, in whatever process.

    A run that goes on from a checkpoint draws from the start again and leaves out what it has seen: drawing costs
    nothing beside a step.
    """
    random = np.random.default_rng(seed)
    size = recipe.negatives_pool
    drawer = _drawer(recipe, plan, data, random)
    for step in range(plan.steps):
        pools, drawn = [], Counter[str]()
        for _ in range(plan.pools):
            rows, kinds = drawer(step / plan.steps, size)
            pools.append(make_pool(data, rows, recipe.hard_negatives, random))
            drawn.update(kinds)
        yield Draw(pools, drawn)


def _drawer(
    recipe: TuningRecipe, plan: StepPlan, data: PairSet, random: np.random.Generator
) -> Callable[[float, int], tuple[NDArray[np.int64], Mapping[Kind, int]]]:
    if recipe.composition is not None:
        topics = [data.topics[row] for row in data.pairs[:, 1]]
        return KindDrawer(recipe.composition, topics, random).draw
    rows = _epochs(recipe, plan, data, random)
    return lambda *_: (next(rows), {})


def _epochs(
    recipe: TuningRecipe, plan: StepPlan, data: PairSet, random: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Pools' rows: each epoch is a new order, less the few pairs that fill no step."""
    size = recipe.negatives_pool
    while True:
        order = random.permutation(len(data.pairs))
        for start in range(0, plan.epoch_steps * plan.pools * size, size):
            yield order[start : start + size]
