"""What answers cost where the data does not say, and what is known of each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from fusionapp.application.services.gathered_answers import GatheredAnswers
from fusionapp.domain.routing.expected_costs import ExpectedCosts
from fusionapp.domain.routing.prices import Prices, mean_known


def expect_costs(
    gathered: Mapping[str, GatheredAnswers],
    models: Sequence[str],
    prices: Prices | None,
    answer_tokens: float | None,
) -> ExpectedCosts:
    """What answers to new prompts cost, by what is known of train.

    Args:
        gathered: every split; where there is no train, nothing is measured.
        models: names, in the order of columns.
        prices: of models, or None.
        answer_tokens: how long answers are of models of which no answer's length is known.
    """
    train = gathered.get("train")
    empty = np.empty((0, len(models)))
    return ExpectedCosts(
        models,
        prices or Prices({}),
        mean_known(empty if train is None else train.tokens, answer_tokens),
        mean_known(empty if train is None else train.scores.cost),
    )


def add_costs(
    gathered: Mapping[str, GatheredAnswers], expected: ExpectedCosts
) -> Mapping[str, GatheredAnswers]:
    """The splits with costs where the data has none: by the answer's tokens where they are known."""
    return {split: _priced(one, expected) for split, one in gathered.items()}


def _priced(one: GatheredAnswers, expected: ExpectedCosts) -> GatheredAnswers:
    if not expected.prices.models:
        return one
    known = one.scores.cost
    cost = np.where(np.isfinite(known), known, expected.priced(one.prompt_tokens, one.tokens))
    return attrs.evolve(one, scores=attrs.evolve(one.scores, cost=cost))
