"""A mixture of estimates of every model's quality, weighed by what each says of prompts that it did not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from fusionapp.adapters.routers.dense import DenseEstimate, fit_dense
from fusionapp.adapters.routers.directions import find_directions
from fusionapp.adapters.routers.lexical import SparseEstimate, TextEstimate, fit_sparse, fit_texts
from fusionapp.adapters.routers.ridge import Wide
from fusionapp.adapters.torch_shared.router_inputs import (
    InputCard,
    by_parts,
    check_inputs,
    counts_of,
    has_dense,
    read_cards,
    unit_vectors,
)
from fusionapp.application.ports.router import AnsweredPrompts, Prompts
from fusionapp.application.ports.router_base import FittedBase, RouterBase
from fusionapp.domain.errors import UsageError
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.routing.answers import ScoreMatrix

Floats = NDArray[np.float32]
_PRIOR = 0.1
"""How much weights are drawn to those of a plain mean, as a share of what an estimate varies by: weights of alike
estimates are poorly told apart, and those of one that says next to nothing not at all."""
_AT_ONCE = 2048


@attrs.frozen(eq=False)
class Stack(RouterBase):
    """A fitted mixture, its weights folded into the estimates' own.

    Attributes:
        models: names.
        cards: what it reads of prompts.
        level: (models,) float32 mean quality on train.
        dense: of dense embeddings; None where there are none.
        text: of the texts.
        sparse: by encoder.
        weights: of each estimate, the mean over all directions, for the reader.
    """

    models: Sequence[str]
    cards: tuple[InputCard, ...]
    level: Floats
    dense: DenseEstimate | None
    text: TextEstimate
    sparse: Mapping[str, SparseEstimate]
    weights: Mapping[str, float]

    def quality(self, prompts: Prompts) -> Floats:
        """See `RouterBase.quality`."""
        check_inputs(self.cards, prompts)
        rows = len(prompts.texts)
        told = np.empty((rows, len(self.models)), dtype=np.float32)

        sparse = [card.name for card in self.cards if card.sparse]
        dense = [card.name for card in self.cards if not card.sparse]

        def tell(part: slice) -> None:
            told[part] = self._by_words(prompts.part(part, sparse))

        by_parts(tell, rows, _AT_ONCE)
        if self.dense is not None:
            # Not by two threads: products of dense matrices go over all cores, and get in each other's way.
            for start in range(0, rows, _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                told[part] += self.dense(unit_vectors(self.cards, prompts.part(part, dense)))
        return np.clip(told, 0.0, 1.0, out=told)

    def _by_words(self, prompts: Prompts) -> Floats:
        told: Floats = self.level + self.text(prompts.texts)
        for card in self.cards:
            if card.sparse:
                told += self.sparse[card.name](counts_of(card, prompts))
        return told

    def numbers(self) -> Mapping[str, NDArray[Any]]:
        """See `RouterBase.numbers`."""
        columns = np.flatnonzero(self.text.table.any(axis=1)).astype(np.int32)
        arrays: dict[str, NDArray[Any]] = {
            "level": self.level,
            "text.columns": columns,
            "text.table": self.text.table[columns],
        }
        if self.dense is not None:
            arrays |= {f"dense.{name}": value for name, value in attrs.asdict(self.dense).items()}
        for index, card in enumerate(self.cards):
            if card.sparse:
                estimate = self.sparse[card.name]
                arrays[f"sparse.{index}.columns"] = estimate.weighting.columns
                arrays[f"sparse.{index}.idf"] = estimate.weighting.idf
                arrays[f"sparse.{index}.weights"] = estimate.weights
        return arrays

    def describe(self) -> dict[str, Any]:
        """See `RouterBase.describe`."""
        return {
            "models": list(self.models),
            "inputs": [attrs.asdict(card) for card in self.cards],
            "weights": dict(self.weights),
        }


@attrs.frozen(eq=False)
class FittedStack(FittedBase):
    """A stack and what it says of its own train prompts without their answers.

    Attributes:
        base: the stack.
        left_out: (prompts, models) float32 in [0, 1].
    """

    base: Stack
    left_out: Floats


def fit_stack(train: AnsweredPrompts) -> FittedStack:
    """Fit every estimate on all of train, and weigh them by their predictions of rows left out.

    Raises:
        UsageError: fewer than two prompts, or a model without a known quality.
    """
    level, target = centred(train.scores)
    cards = read_cards(train.prompts)
    left_out: dict[str, Wide] = {}
    dense = None
    if has_dense(cards):
        dense, left_out = fit_dense(unit_vectors(cards, train.prompts), target)
    text, left_out["text"] = fit_texts(train.prompts.texts, target)
    sparse = {}
    for card in cards:
        if card.sparse:
            counts = counts_of(card, train.prompts)
            weighting = LexicalWeighting.fit(counts)
            columns, left_out[f"sparse {card.name}"] = fit_sparse(weighting.transform(counts), target)
            sparse[card.name] = SparseEstimate(weighting, columns)
    weights = weigh(left_out, target)
    stack = Stack(
        tuple(train.scores.models),
        cards,
        level.astype(np.float32),
        None if dense is None else dense.weighed(weights),
        text.weighed(weights["text"]),
        {
            name: attrs.evolve(each, weights=each.weights @ weights[f"sparse {name}"].astype(np.float32))
            for name, each in sparse.items()
        },
        {name: float(np.trace(matrix) / len(matrix)) for name, matrix in weights.items()},
    )
    told = level + sum(part @ weights[name] for name, part in left_out.items())
    return FittedStack(stack, np.clip(told, 0.0, 1.0).astype(np.float32))


def weigh(left_out: Mapping[str, Wide], target: Wide) -> dict[str, Wide]:
    """What each estimate is multiplied by, so that their sum has the least squared error on rows left out.

    Breiman's stacked regressions (1996), in each of `find_directions` by itself: non-negative weights, drawn to
    those of a plain mean. They need not sum to 1: every estimate is shrunk to the mean quality for its own sake,
    and together they deserve less of that.

    Args:
        left_out: (prompts, models) by estimate, each by weights that did not see the row.
        target: (prompts, models) centred qualities; NaN where unknown.

    Returns:
        A matrix (models, models) for each estimate, to multiply it by on the right: its weights in all directions,
        turned back to models.
    """
    matrices = {name: np.zeros((target.shape[1],) * 2) for name in left_out}
    for group in find_directions(target):
        aims = group.of(target)
        told = np.stack([group.of(part) for part in left_out.values()], axis=-1)
        weights = np.stack([_weights(told[:, one], aims[:, one]) for one in range(aims.shape[1])])
        for matrix, weight in zip(matrices.values(), weights.T, strict=True):
            matrix[np.ix_(group.models, group.models)] = (group.axes * weight) @ group.axes.T
    return matrices


def _weights(told: Wide, aim: Wide) -> Wide:
    """(estimates,) weights, none negative, by which (rows, estimates) come nearest to (rows,)."""
    count = told.shape[1]
    prior = _PRIOR * np.square(told).sum() / count
    drawn = np.vstack([told, np.sqrt(prior) * np.eye(count)])
    found, _ = nnls(drawn, np.append(aim, np.full(count, np.sqrt(prior) / count)))
    return found


def centred(scores: ScoreMatrix) -> tuple[Wide, Wide]:
    """(models,) mean known quality, and (prompts, models) qualities less it.

    Raises:
        UsageError: fewer than two prompts, or a model without a known quality.
    """
    if len(scores.quality) < 2:
        raise UsageError(
            f"routing: {len(scores.quality)} prompts are too few to learn from; add some to train"
        )
    known = ~np.isnan(scores.quality)
    for model, answered in zip(scores.models, np.any(known, axis=0), strict=True):
        if not answered:
            raise UsageError(
                f"routing: model {model!r} has no known quality in train; leave it out or add its answers"
            )
    level: Wide = np.nanmean(scores.quality, axis=0, dtype=np.float64)
    return level, scores.quality - level
