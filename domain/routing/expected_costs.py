"""What answers to a prompt will cost, before they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.embeddings import Json
from fusionapp.domain.routing.prices import Price, Prices

Floats = NDArray[np.float64]


@attrs.frozen(eq=False)
class ExpectedCosts:
    """Costs of models by the length of the prompt.

    Attributes:
        models: names, in the order of columns.
        prices: by the token; of some models or none.
        answer_tokens: (models,) how long answers are on average; NaN where unknown.
        mean_cost: (models,) what answers cost on average where that was measured; NaN elsewhere.
    """

    models: Sequence[str]
    prices: Prices
    answer_tokens: Floats
    mean_cost: Floats

    def priced(self, prompt_tokens: Floats, answer_tokens: Floats | None = None) -> Floats:
        """Costs by prices alone.

        Args:
            prompt_tokens: (prompts,) tokens of each.
            answer_tokens: (prompts, models) tokens of answers that are known; NaN, or None, for the average.

        Returns:
            (prompts, models) USD; NaN for models without a price, or whose answers' length is unknown.
        """
        tokens = self.answer_tokens
        if answer_tokens is not None:
            tokens = np.where(np.isfinite(answer_tokens), answer_tokens, tokens)
        return self.prices.costs(self.models, prompt_tokens, tokens)

    def expect(self, prompt_tokens: Floats) -> Floats:
        """Costs of answers that nobody has given yet.

        A model with a price goes by it and by the prompt's length; another by its mean measured cost.

        Args:
            prompt_tokens: (prompts,) tokens of each.

        Returns:
            (prompts, models) USD; NaN where a model has neither.
        """
        priced = self.priced(prompt_tokens)
        return np.where(np.isfinite(priced), priced, self.mean_cost)

    def updated(self, other: ExpectedCosts) -> ExpectedCosts:
        """With another's models; of a model that both know the other's word counts."""
        return ExpectedCosts.of_json({**self.to_json(), **other.to_json()})

    def to_json(self) -> dict[str, Json]:
        """As JSON holds it, by model."""
        table: dict[str, Json] = {}
        for index, model in enumerate(self.models):
            price = self.prices.models.get(model)
            table[model] = {
                "input_price_usd_per_mtok": None if price is None else price.input,
                "output_price_usd_per_mtok": None if price is None else price.output,
                "answer_tokens": _known(self.answer_tokens[index]),
                "mean_cost": _known(self.mean_cost[index]),
            }
        return table

    @classmethod
    def of_json(cls, table: Mapping[str, Any]) -> ExpectedCosts:
        """What `to_json` gave."""
        prices = {
            model: Price(entry["input_price_usd_per_mtok"], entry["output_price_usd_per_mtok"])
            for model, entry in table.items()
            if entry["input_price_usd_per_mtok"] is not None
        }
        tokens, costs = (
            np.array([_number(entry[key]) for entry in table.values()], dtype=np.float64)
            for key in ("answer_tokens", "mean_cost")
        )
        return cls(tuple(table), Prices(prices), tokens, costs)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
