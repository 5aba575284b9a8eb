"""Scores made into battles, and battles into scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, SECOND, TIE, Battles, ScoreMatrix

_CELLS_AT_ONCE = 4_000_000
_ROUNDING = 1e-9
"""Qualities are decimals: .3 - .2 is to be .1, and not a hair below."""


def battles_of_scores(
    scores: ScoreMatrix,
    tie_below: float = 0.0,
    bad_below: float = 0.0,
) -> Battles:
    """Every pair of models that a prompt knows, compared; ordered by prompt, then by the models' columns.

    Args:
        scores: what is known.
        tie_below: a difference below it is a tie; equal qualities always are.
        bad_below: a battle whose qualities both lie below it is `BOTH_BAD`.
    """
    left, right = np.triu_indices(len(scores.models), 1)
    prompts, pairs = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start, quality in _chunks(scores.quality, len(left)):
        known = ~np.isnan(quality[:, left] + quality[:, right])
        row, pair = np.nonzero(known)
        prompts.append(row + start)
        pairs.append(pair)
    prompt, pair = np.concatenate(prompts), np.concatenate(pairs)
    first, second = left[pair], right[pair]
    a, b = scores.quality[prompt, first], scores.quality[prompt, second]
    outcome = _outcomes(a, b, tie_below, bad_below)
    return Battles(scores.models, prompt, first.astype(np.int64), second.astype(np.int64), outcome)


def scores_of_battles(battles: Battles, prompts: int) -> ScoreMatrix:
    """Each model's mean share of the wins on each prompt: win 1, tie 1/2, loss 0, both bad 0.

    Sound only for ranking models within a prompt: a share says nothing of how good the answer was, and depends on
    whom the model met. So shares of different prompts must not be compared, nor averaged into a quality.

    Args:
        battles: their prompts in [0, prompts).
        prompts: rows of the matrix.

    Returns:
        NaN where a model did not fight on a prompt; costs and latencies are unknown.
    """
    models = len(battles.models)
    won, fought = np.zeros(prompts * models), np.zeros(prompts * models)
    sides = ((battles.first, FIRST), (battles.second, SECOND))
    for side, wins in sides:
        cell = battles.prompts * models + side
        share = (battles.outcome == wins) + 0.5 * (battles.outcome == TIE)
        won += np.bincount(cell, weights=share, minlength=prompts * models)
        fought += np.bincount(cell, minlength=prompts * models)
    quality = np.divide(won, fought, out=np.full_like(won, np.nan), where=fought > 0)
    unknown = np.full((prompts, models), np.nan)
    return ScoreMatrix(battles.models, quality.reshape(prompts, models), unknown, unknown.copy())


def battles_of_both(made: Battles, given: Battles) -> Battles:
    """Battles made of scores and others that were given, over the same models and prompts; ordered by prompt.

    A pair of models that has both on a prompt keeps both.
    """
    prompts, first, second, outcome = (
        np.concatenate([getattr(made, key), getattr(given, key)])
        for key in ("prompts", "first", "second", "outcome")
    )
    order = np.argsort(prompts, kind="stable")
    return Battles(made.models, prompts[order], first[order], second[order], outcome[order])


def _outcomes(
    a: NDArray[np.float64], b: NDArray[np.float64], tie_below: float, bad_below: float
) -> NDArray[np.int8]:
    lead = a - b
    outcome = np.where(lead > 0, FIRST, SECOND)
    outcome[(np.abs(lead) < tie_below - _ROUNDING) | (np.abs(lead) <= _ROUNDING)] = TIE
    outcome[np.maximum(a, b) < bad_below - _ROUNDING] = BOTH_BAD
    return outcome.astype(np.int8)


def _chunks(quality: NDArray[np.float64], pairs: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    size = max(1, _CELLS_AT_ONCE // max(pairs, 1))
    for start in range(0, len(quality), size):
        yield start, quality[start : start + size]
