"""AIQ of routers on several prompt splits, each and pooled: a part of router_quality.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.services.router_metrics import Field, settings_of
from fusionapp.domain.routing.cost_quality import HULL_DRAWS, aiq_of_prompts
from fusionapp.domain.routing.prices import Prices, estimate_tokens
from fusionapp.domain.statistics.bootstrap import interval, resample_weights

Floats = NDArray[np.floating]
ANSWER_TOKENS = 256.0
"""Of every answer, whose lengths the data does not tell: the default of `dataset.answer_tokens`."""


def costs_of(texts: Sequence[str], models: Sequence[str], prices: Prices) -> NDArray[np.float64]:
    """(prompts, models) USD."""
    tokens = np.array([estimate_tokens(text) for text in texts])
    return prices.costs(models, tokens, np.full(len(models), ANSWER_TOKENS))


@attrs.frozen(eq=False)
class Curves:
    """One split's routers at all settings of the trade-off.

    Attributes:
        rows: (test prompts,) their numbers among all prompts.
        low: USD where the range of AIQ starts.
        high: USD where it ends.
        settings: cost and quality (settings, test prompts) by router.
    """

    rows: NDArray[np.int64]
    low: float
    high: float
    settings: Mapping[str, tuple[Floats, Floats]]

    @classmethod
    def of(
        cls,
        scores: Mapping[str, Floats],
        success: Mapping[str, Floats],
        quality: NDArray[np.float64],
        cost: NDArray[np.float64],
        rows: NDArray[np.int64],
    ) -> Curves:
        """Curves of those routers that have a calibrated success."""
        field = Field(
            models=[], quality=quality, cost=cost, best_single=0, weak=int(cost.mean(axis=0).argmin())
        )
        means = cost.mean(axis=0)
        settings = {name: settings_of(each, scores[name], field) for name, each in success.items()}
        return cls(rows, float(means.min()), float(means.max()), settings)

    def aiq(self, name: str, weights: Floats | None = None) -> NDArray[np.float64]:
        """(draws,) AIQ of a router, by how often each of its prompts counts: (draws, test prompts)."""
        return aiq_of_prompts(*self.settings[name], self.low, self.high, weights)


def compare_aiq(splits: Sequence[Curves], prompts: int, router: str, others: Sequence[str]) -> dict[str, Any]:
    """The mean AIQ over splits, and how far the router's stands from others', with 95 % intervals.

    Args:
        splits: of one split, or of several.
        prompts: of all splits together: a prompt is drawn for all splits that test it.
        router: which one.
        others: whom it stands beside.
    """
    drawn = {name: np.concatenate(list(_replicates(splits, prompts, name))) for name in (router, *others)}
    found: dict[str, Any] = {
        name: round(float(np.mean([split.aiq(name)[0] for split in splits])), 5) for name in drawn
    }
    for other in others:
        bounds = interval(drawn[router] - drawn[other])
        found[f"{router} - {other}"] = {
            "estimate": round(found[router] - found[other], 5),
            "interval": [round(bounds.low, 5), round(bounds.high, 5)],
        }
    return found


def _replicates(splits: Sequence[Curves], prompts: int, name: str) -> Iterator[NDArray[np.float64]]:
    own = len(splits) == 1
    for weights in resample_weights(len(splits[0].rows) if own else prompts, HULL_DRAWS):
        yield np.mean(
            [split.aiq(name, weights if own else weights[:, split.rows]) for split in splits], axis=0
        )
