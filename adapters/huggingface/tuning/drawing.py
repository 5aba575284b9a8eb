"""Which pairs make each pool of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

import attrs
import numpy as np

from fusionapp.adapters.huggingface.tuning.plan import StepPlan
from fusionapp.adapters.huggingface.tuning.pools import Pool, make_pool
from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.domain.retrieval.drawing import Pool as PoolRows, composed_pools, plain_pools
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
    rows = _rows(recipe, plan, data, seed)
    for _ in range(plan.steps):
        pools, drawn = [], Counter[str]()
        for one in islice(rows, plan.pools):
            pools.append(make_pool(data, one.rows, recipe.hard_negatives, random))
            drawn.update(one.drawn)
        yield Draw(pools, drawn)


def _rows(recipe: TuningRecipe, plan: StepPlan, data: PairSet, seed: int) -> Iterator[PoolRows]:
    """Whole pools; the few pairs of an epoch that fill none are left out of it."""
    size = recipe.negatives_pool
    if recipe.composition is not None:
        topics = list(data.topics)
        of_pairs = [topics[row] for row in data.pairs[:, 1]]
        return composed_pools(data.pairs, of_pairs, recipe.composition, size, plan.steps * plan.pools, seed)
    return (one for one in plain_pools(data.pairs, size, seed) if len(one.rows) == size)
