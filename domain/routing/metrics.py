"""How well a router ranks and chooses: per prompt, so that a bootstrap can draw prompts and stay paired.

All of them look only at answers whose quality is known.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import FIRST, SECOND, Battles
from fusionapp.domain.routing.policy import NO_MODEL
from fusionapp.domain.statistics.bootstrap import DRAWS, Replicates, resample_weights

Floats = NDArray[np.floating]


@attrs.frozen(eq=False)
class Ratio:
    """A mean over things of which prompts have different numbers, such as pairs of models.

    Attributes:
        total: (prompts,) float64 sum over the prompt's things.
        count: (prompts,) float64 how many they are; 0 where the prompt has none.
    """

    total: NDArray[np.float64]
    count: NDArray[np.float64]

    @property
    def value(self) -> float:
        """Sum over all prompts by their number; NaN where there is none."""
        count = self.count.sum()
        return float(self.total.sum() / count) if count else float("nan")


def bootstrap_ratios(ratios: Mapping[str, Ratio], draws: int = DRAWS, seed: int = 0) -> dict[str, Replicates]:
    """(draws,) values of each over resampled prompts, the same prompts for all; NaN in a draw that counts nothing.

    They are paired with every other bootstrap of as many prompts, draws and the same seed.

    Raises:
        UsageError: no ratio, none of its prompts, or numbers of prompts that differ.
    """
    if len({len(ratio.total) for ratio in ratios.values()}) != 1:
        sizes = ", ".join(f"{name} {len(ratio.total)}" for name, ratio in ratios.items())
        raise UsageError(f"bootstrap: prompts must be the same for all, not {sizes or 'none at all'}")
    totals = np.column_stack([ratio.total for ratio in ratios.values()])
    counts = np.column_stack([ratio.count for ratio in ratios.values()])
    parts = []
    for weights in resample_weights(len(totals), draws, seed):
        total, count = weights @ totals, weights @ counts
        parts.append(np.divide(total, count, out=np.full_like(count, np.nan), where=count > 0))
    table = np.concatenate(parts).round(12)  # a tie must be a tie in every draw
    return {name: table[:, column].copy() for column, name in enumerate(ratios)}


def pairwise_agreement(scores: Floats, quality: Floats, ties: bool = False) -> Ratio:
    """Share of pairs of models that scores order as qualities do (pairwise accuracy), within prompts.

    A pair counts 1 - |sign(score difference) - sign(quality difference)| / 2: 1 in agreement, 0 in the wrong
    order, 1/2 where one side ties and the other does not, as a fair coin would earn.

    Args:
        scores: (prompts, models).
        quality: (prompts, models); NaN where unknown.
        ties: whether pairs of equal quality count too.
    """
    total, count = np.zeros(len(quality)), np.zeros(len(quality))
    for model in range(quality.shape[1] - 1):
        truth = np.sign(quality[:, model, None] - quality[:, model + 1 :])
        guess = np.sign(scores[:, model, None] - scores[:, model + 1 :])
        counted = ~np.isnan(truth) if ties else np.abs(truth) > 0
        total += np.where(counted, 1 - np.abs(guess - truth) / 2, 0.0).sum(1)
        count += counted.sum(1)
    return Ratio(total, count)


def battle_agreement(scores: Floats, battles: Battles, ties: bool = False) -> Ratio:
    """`pairwise_agreement` with battles in place of qualities; a battle that both lost is a tie.

    Args:
        scores: (prompts, models).
        battles: over the same prompts and columns.
        ties: whether ties count too.
    """
    rows = battles.prompts
    truth = (battles.outcome == FIRST).astype(np.float64) - (battles.outcome == SECOND)
    guess = np.sign(scores[rows, battles.first] - scores[rows, battles.second])
    counted = np.ones(len(rows)) if ties else np.abs(truth)
    agreement = (1 - np.abs(guess - truth) / 2) * counted
    total = np.bincount(rows, weights=agreement, minlength=len(scores)).astype(np.float64)
    return Ratio(total, np.bincount(rows, weights=counted, minlength=len(scores)).astype(np.float64))


def chosen_quality(quality: Floats, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """(prompts,) quality of the chosen model's answer; NaN where it is unknown or no model was chosen.

    Args:
        quality: (prompts, models), or costs, whatever is to be looked up.
        chosen: (prompts,) columns or `NO_MODEL`.
    """
    found = quality[np.arange(len(quality)), np.maximum(chosen, 0)].astype(np.float64)
    return np.where(chosen == NO_MODEL, np.nan, found)


def oracle_quality(quality: Floats) -> NDArray[np.float64]:
    """(prompts,) the best known answer's quality; NaN where none is known."""
    best = np.where(np.isnan(quality), -np.inf, quality).max(axis=1)
    return np.where(np.isneginf(best), np.nan, best)


def best_single(quality: Floats) -> int:
    """The model of highest mean known quality, the earliest of equals: to be chosen on train.

    Raises:
        UsageError: no answer is known.
    """
    known = ~np.isnan(quality)
    if not known.any():
        raise UsageError("no model's answer to any prompt is known, so none is best")
    sums, counts = np.where(known, quality, 0.0).sum(0), known.sum(0)
    return int(np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf).argmax())


def mean_known(values: Floats) -> Ratio:
    """The mean over prompts of per-prompt values (prompts,), those that are NaN left out."""
    known = ~np.isnan(values)
    return Ratio(np.where(known, values, 0.0).astype(np.float64), known.astype(np.float64))


def gap_to_oracle(quality: Floats, chosen: NDArray[np.int64]) -> Ratio:
    """How far the chosen answers stand below the best ones, over prompts where both are known; at least 0."""
    return mean_known(oracle_quality(quality) - chosen_quality(quality, chosen))


def gap_closed(quality: Floats, chosen: NDArray[np.int64], single: int) -> Ratio:
    """Share of the way from the best single model to the oracle: 0 is the single model, 1 the oracle.

    It is (mean chosen - mean single) / (mean oracle - mean single), over prompts where all three are known, below
    0 where the router is worse than the single model.

    Args:
        quality: (prompts, models).
        chosen: (prompts,) columns.
        single: the column of `best_single` of train.
    """
    base = quality[:, single].astype(np.float64)
    gain = chosen_quality(quality, chosen) - base
    most = oracle_quality(quality) - base
    known = ~np.isnan(gain) & ~np.isnan(most)
    return Ratio(np.where(known, gain, 0.0), np.where(known, most, 0.0))
