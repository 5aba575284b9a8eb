"""What a router is trained to lower, as a mean over battles or over answers; for numpy and torch alike.

A battle's loss is made of two pieces: `decided`, what it costs that a side ahead by d won, and `tied`, what it
costs that sides d apart tied. A battle that both lost is, by `both_bad`:

- "tie": a tie;
- "penalize": two lost battles, each against an opponent of the prompt's average strength, halved so that the
  battle still counts once. A tie says only that the two are alike; this says that both are below the others;
- "ignore": nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fusionapp.domain.arrays import A, namespace
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, SECOND
from fusionapp.domain.routing.mapping import score_of_quality

BothBad = Literal["tie", "penalize", "ignore"]


def margin_ranking(
    first: A,
    second: A,
    outcome: A,
    margin: float,
    weights: A | None = None,
    both_bad: BothBad = "penalize",
    average: A | None = None,
) -> A:
    """max(0, -y (first - second) + margin), y being 1 or -1: torch.nn.MarginRankingLoss.

    A tie costs max(0, |first - second| - margin), so that equals are asked to stay within the margin of each
    other; torch's formula at y = 0 would be a constant, from which nothing is learnt.

    Args:
        first: (..., battles) scores of the first models.
        second: (..., battles) scores of the second models.
        outcome: (battles,) or (..., battles): `FIRST`, `SECOND`, `TIE` or `BOTH_BAD`.
        margin: by how much a winner is to lead; at least 0.
        weights: (battles,) or (..., battles), at least 0; None weighs every battle 1.
        both_bad: what a battle that both lost is.
        average: (..., battles) mean score of all models on the battle's prompt, for "penalize". Give it without a
            gradient: with one, the loss could fall by raising the others.

    Returns:
        (...,): the weighted mean for each leading index; 0 where nothing weighs, as in a batch of ignored battles.

    Raises:
        UsageError: "penalize" without averages, or another `both_bad`.
    """

    def decided(lead: Any) -> Any:
        return _positive_part(margin - lead)

    def tied(lead: Any) -> Any:
        return _positive_part(namespace(lead).abs(lead) - margin)

    return _battles(decided, tied, first, second, outcome, weights, both_bad, average)


def bradley_terry(
    first: A,
    second: A,
    outcome: A,
    weights: A | None = None,
    both_bad: BothBad = "penalize",
    average: A | None = None,
) -> A:
    """-ln P(winner beats loser), P = 1 / (1 + exp(-lead)), in nats (Bradley and Terry 1952).

    A tie is half a win of each. Scores are log-strengths: give logits, not scores in [-1, 1], whose leads of 2 at
    the most would never let a probability leave (.12, .88).

    Arguments, return and errors are those of `margin_ranking`.
    """
    decided = _minus_log_sigmoid

    def tied(lead: Any) -> Any:
        return (decided(lead) + decided(-lead)) / 2

    return _battles(decided, tied, first, second, outcome, weights, both_bad, average)


def rao_kupper(
    first: A,
    second: A,
    outcome: A,
    log_theta: A,
    weights: A | None = None,
    both_bad: BothBad = "penalize",
    average: A | None = None,
) -> A:
    """-ln P(outcome) where leads below a threshold tie (Rao and Kupper 1967), in nats.

    With strengths p = exp(score), P(i beats j) = p_i / (p_i + theta p_j) and
    P(tie) = (theta^2 - 1) p_i p_j / ((p_i + theta p_j) (theta p_i + p_j)); the three sum to 1.

    Args:
        first: (..., battles) log-strengths: logits, as for `bradley_terry`.
        second: (..., battles).
        outcome: (battles,) or (..., battles).
        log_theta: () or broadcastable to (..., battles), ln theta > 0: `log_threshold` of a free parameter. At
            theta = 1 a tie would be impossible.
        weights: as in `margin_ranking`.
        both_bad: as there.
        average: as there, in logits.

    Returns:
        (...,): as in `margin_ranking`.
    """
    xp = namespace(first)
    twice = log_theta * 2.0
    ways = twice + xp.log(-xp.expm1(-twice))  # ln(theta^2 - 1), which overflows nowhere

    def decided(lead: Any) -> Any:
        return _minus_log_sigmoid(lead - log_theta)

    def tied(lead: Any) -> Any:
        return decided(lead) + decided(-lead) - ways

    return _battles(decided, tied, first, second, outcome, weights, both_bad, average)


def log_threshold(free: A) -> A:
    """ln theta > 0 of a parameter that may be any real: ln(1 + exp(free)); at 0, theta = 2."""
    threshold: A = _minus_log_sigmoid(free * -1.0)
    return threshold


def regression(scores: A, quality: A, weights: A | None = None) -> A:
    """Mean squared error of scores in [-1, 1] against the qualities' own (`score_of_quality`).

    Args:
        scores: (..., prompts, models).
        quality: (prompts, models) or (..., prompts, models) in [0, 1]; NaN where a model did not answer, which
            costs nothing and has gradient 0.
        weights: broadcastable to quality, at least 0; None weighs every answer 1.

    Returns:
        (...,): the weighted mean over known answers for each leading index; 0 where there is none.
    """
    xp = namespace(scores, quality)
    known = ~xp.isnan(quality)
    target = score_of_quality(xp.where(known, quality, xp.zeros_like(quality)))
    squares = (scores - target) ** 2
    weigh = xp.astype(known, squares.dtype)
    if weights is not None:
        weigh = weigh * weights
    mean: A = _weighted_mean(squares, weigh, axis=(-2, -1))
    return mean


def _battles(
    decided: Callable[[Any], Any],
    tied: Callable[[Any], Any],
    first: A,
    second: A,
    outcome: Any,
    weights: A | None,
    both_bad: BothBad,
    average: A | None,
) -> A:
    xp = namespace(first, second, outcome)
    lead: Any = first - second
    loss = xp.where(outcome == FIRST, decided(lead), tied(lead))
    loss = xp.where(outcome == SECOND, decided(-lead), loss)
    bad = outcome == BOTH_BAD
    weigh = xp.ones_like(loss) if weights is None else xp.broadcast_to(weights, loss.shape)
    if both_bad == "ignore":
        weigh = xp.where(bad, xp.zeros_like(weigh), weigh)
    elif both_bad == "penalize":
        if average is None:
            raise UsageError('both_bad = "penalize" needs each prompt\'s mean score; give `average`')
        loss = xp.where(bad, (decided(average - first) + decided(average - second)) / 2, loss)
    elif both_bad != "tie":
        raise UsageError(f"both_bad {both_bad!r} is unknown; use 'tie', 'penalize' or 'ignore'")
    mean: A = _weighted_mean(loss, weigh, axis=-1)
    return mean


def _weighted_mean(loss: Any, weights: Any, axis: int | tuple[int, ...]) -> Any:
    xp = namespace(loss)
    total = xp.sum(xp.broadcast_to(weights, loss.shape), axis=axis)
    return xp.sum(loss * weights, axis=axis) / xp.where(total > 0, total, xp.ones_like(total))


def _positive_part(x: Any) -> Any:
    xp = namespace(x)
    return xp.where(x > 0, x, xp.zeros_like(x))


def _minus_log_sigmoid(x: Any) -> Any:
    """ln(1 + exp(-x)), which overflows nowhere."""
    xp = namespace(x)
    return xp.logaddexp(xp.zeros_like(x), -x)
