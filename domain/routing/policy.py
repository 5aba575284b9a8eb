"""Which model a prompt goes to, once every model's success and cost are foretold."""

from __future__ import annotations

from enum import IntEnum
from math import inf

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError

Floats = NDArray[np.floating]

NO_MODEL = -1


class Reason(IntEnum):
    """Why a model was chosen."""

    BEST = 0
    """It is what the policy asks for."""
    OVER_BUDGET = 1
    """No model costs as little as `max_cost`: this is the cheapest."""
    BELOW_QUALITY = 2
    """None that is allowed is as good as `min_quality`: this is the best of them."""
    UNFAMILIAR = 3
    """The prompt is unlike those in train: the fallback, or no model."""


@attrs.frozen
class Policy:
    """What counts in a choice; without a limit, quality alone.

    Attributes:
        max_cost: most USD for a prompt; dearer models are not allowed.
        min_quality: the cheapest model whose calibrated success is at least this, in [0, 1].
        trade_off: lambda >= 0, what a USD is worth in success: the choice maximises success - lambda cost.
    """

    max_cost: float | None = None
    min_quality: float | None = None
    trade_off: float | None = None

    def __attrs_post_init__(self) -> None:
        """Check the limits.

        Raises:
            UsageError: a limit without sense, or two that contradict each other.
        """
        if self.min_quality is not None and self.trade_off is not None:
            raise UsageError("min_quality and trade_off are two different policies; give one of them")
        if self.min_quality is not None and not 0 <= self.min_quality <= 1:
            raise UsageError(f"min_quality {self.min_quality} is not between 0 and 1")
        for name, value in (("max_cost", self.max_cost), ("trade_off", self.trade_off)):
            if value is not None and not value >= 0:
                raise UsageError(f"{name} {value} is negative or not a number; use 0 or more")
        if self.trade_off == inf:
            # Times a cost of 0 it would be no number.
            raise UsageError("trade_off inf asks for the cheapest model; use a large number, such as 1e9")

    @property
    def needs_cost(self) -> bool:
        """Whether the choice depends on costs."""
        return (self.max_cost, self.min_quality, self.trade_off) != (None, None, None)


@attrs.frozen(eq=False)
class Choice:
    """The model of each prompt.

    Attributes:
        model: (prompts,) int64 columns; `NO_MODEL` where the router abstains.
        reason: (prompts,) int8 of `Reason`.
    """

    model: NDArray[np.int64]
    reason: NDArray[np.int8]


def choose(
    scores: Floats,
    success: Floats,
    cost: Floats,
    policy: Policy,
    unfamiliar: NDArray[np.bool_] | None = None,
    fallback: int | None = None,
) -> Choice:
    """A model for every prompt; of equals the cheaper, of equally cheap ones the better, then the earlier.

    "Best" is by score: calibrated successes have steps, on which many models are equal though their scores differ.

    Args:
        scores: (prompts, models), more is better.
        success: (prompts, models) calibrated expected quality in [0, 1].
        cost: (prompts, models) expected USD; NaN where unknown, which only a policy of quality alone takes.
        policy: what counts.
        unfamiliar: (prompts,) prompts unlike those in train, which go to the fallback; None has none.
        fallback: its column; None abstains.

    Raises:
        UsageError: shapes that differ, a score or success that is not a number, a cost that the policy needs and
            nobody knows, or a fallback that is no column.
    """
    _check(scores, success, cost, policy, fallback)
    priced = np.where(np.isnan(cost), np.inf, cost)
    allowed = np.ones(scores.shape, dtype=bool) if policy.max_cost is None else priced <= policy.max_cost
    over = ~allowed.any(1)
    good = allowed if policy.min_quality is None else allowed & (success >= policy.min_quality)
    below = ~over & ~good.any(1)
    best = _first(_barred(-scores, allowed), priced)
    if policy.trade_off is not None:
        wanted = _first(_barred(policy.trade_off * priced - success, allowed), priced)
    elif policy.min_quality is not None:
        wanted = _first(_barred(priced, good), -scores)
    else:
        wanted = best
    model = np.where(over, _first(priced, -scores), np.where(below, best, wanted))
    reason = np.where(over, Reason.OVER_BUDGET, np.where(below, Reason.BELOW_QUALITY, Reason.BEST))
    if unfamiliar is not None:
        model = np.where(unfamiliar, NO_MODEL if fallback is None else fallback, model)
        reason = np.where(unfamiliar, Reason.UNFAMILIAR, reason)
    return Choice(model.astype(np.int64), reason.astype(np.int8))


def trade_offs(success: Floats, cost: Floats, points: int = 50) -> NDArray[np.float64]:
    """Lambdas at which choices change, ascending, from 0, quality alone, to the cheapest everywhere.

    A choice changes where lambda is what a USD buys in success: between the best model and a cheaper one, or
    between one and the cheapest. Quantiles of these, over prompts and models, spread the changes over the steps.

    Args:
        success: (prompts, models).
        cost: (prompts, models) USD.
        points: how many at most.

    Returns:
        (at most points,); 0 alone where no choice depends on lambda.
    """
    rows = np.arange(len(success))
    slopes = []
    for end in (_first(-success, cost), _first(cost, -success)):
        gain = (success - success[rows, end][:, None]).astype(np.float64)
        price = cost - cost[rows, end][:, None]
        telling = gain * price > 0
        slopes.append(gain[telling] / price[telling])
    found = np.concatenate(slopes)
    if not len(found):
        return np.zeros(1)
    steps = np.quantile(found, np.linspace(0, 1, points - 1)) * (
        1 + 1e-9
    )  # past the tie, whatever rounding does
    return np.unique(np.concatenate([[0.0], steps]))


def _first(loss: Floats, second: Floats) -> NDArray[np.int64]:
    """(rows,) the column of least loss; of equals the one least by `second`, then the earlier."""
    least = loss == loss.min(axis=1, keepdims=True)
    # Ranks, since `second` may be infinite itself and could not be told from a column that is out.
    rank = np.argsort(np.argsort(second, axis=1, kind="stable"), axis=1, kind="stable")
    first: NDArray[np.int64] = np.where(least, rank, second.shape[1]).argmin(axis=1)
    return first


def _barred(loss: Floats, allowed: NDArray[np.bool_]) -> Floats:
    return np.where(allowed, loss, np.inf)


def _check(scores: Floats, success: Floats, cost: Floats, policy: Policy, fallback: int | None) -> None:
    if not scores.shape == success.shape == cost.shape:
        raise UsageError(
            f"scores {scores.shape}, success {success.shape} and cost {cost.shape} differ in shape"
        )
    if np.isnan(scores).any() or np.isnan(success).any():
        raise UsageError("a score or a success is not a number; a router must score every model")
    unpriced = np.flatnonzero(np.isnan(cost).any(axis=0))
    if policy.needs_cost and len(unpriced):
        raise UsageError(
            f"max_cost, min_quality and trade_off need every model's price; unknown in columns {unpriced.tolist()}"
        )
    if fallback is not None and not 0 <= fallback < scores.shape[1]:
        raise UsageError(f"fallback {fallback} is none of {scores.shape[1]} models")
