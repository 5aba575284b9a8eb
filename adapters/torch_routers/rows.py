"""Prompts and answers as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.torch_shared.router_inputs import InputCard, by_parts, dense_width, unit_vectors
from fusionapp.application.ports.router import AnsweredPrompts, Prompts
from fusionapp.domain.routing.comparisons import balance
from fusionapp.domain.routing.features import standard_features
from fusionapp.domain.routing.mapping import logit_of_score, score_of_quality
from fusionapp.domain.standardization import Standardization

Floats = NDArray[np.float32]
_AT_ONCE = 4096


@attrs.frozen(eq=False)
class Rows:
    """One split.

    Attributes:
        prompts: (prompts, columns) float32.
        base: (prompts, models) float32 logits of the base; zeros without one.
        quality: (prompts, models) float32; NaN where unknown.
        battle_prompts: (battles,) int64.
        first: (battles,) int64.
        second: (battles,) int64.
        outcome: (battles,) int64.
        battle_weights: (battles,) float32 of mean 1: how much the rarer model of each is in need of attention.
        model_weights: (models,) float32 of mean 1 over answers: the same for single answers.
    """

    prompts: Tensor
    base: Tensor
    quality: Tensor
    battle_prompts: Tensor
    first: Tensor
    second: Tensor
    outcome: Tensor
    battle_weights: Tensor
    model_weights: Tensor


def prompt_columns(
    cards: Sequence[InputCard], prompts: Prompts, features: Floats | None, fitted: Standardization | None
) -> Floats:
    """(prompts, columns): embeddings of mean square 1 over a view, then features in standard deviations.

    Args:
        cards: the encoders read; sparse ones are passed over.
        prompts: with their embeddings.
        features: (prompts, features) of their texts; None where none are read.
        fitted: what brings features to standard deviations of train; None where none are read.
    """
    dense, width = [card.name for card in cards if not card.sparse], dense_width(cards)
    whole = width + (0 if fitted is None else fitted.mean.shape[1])
    columns = np.empty((len(prompts.texts), whole), dtype=np.float32)

    def fill(part: slice) -> None:
        some = prompts.part(part, dense)
        np.multiply(unit_vectors(cards, some), np.float32(width**0.5), out=columns[part, :width])
        if features is not None and fitted is not None:
            columns[part, width:] = standard_features(features[part], fitted)

    by_parts(fill, len(columns), _AT_ONCE)
    return columns


def base_logits(quality: Floats) -> Floats:
    """(prompts, models) logits of a base's qualities."""
    logits: Floats = logit_of_score(score_of_quality(quality)).astype(np.float32)
    return logits


def as_rows(
    answered: AnsweredPrompts, columns: Floats, base: Floats, balanced: bool, device: torch.device
) -> Rows:
    """Tensors of a split on a device.

    Args:
        answered: the split.
        columns: as `prompt_columns` gives them.
        base: (prompts, models) logits.
        balanced: whether weights differ; never for validation.
        device: where to.
    """
    battles = answered.battles
    quality = answered.scores.quality
    battle_weights = np.ones(len(battles.prompts))
    model_weights = np.ones(quality.shape[1])
    if balanced:
        if len(battles.prompts):
            battle_weights = balance(battles).weights
        answers = np.maximum((~np.isnan(quality)).sum(axis=0), 1)
        model_weights = answers.mean() / answers

    def ids(values: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(values.astype(np.int64)).to(device)

    def floats(values: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)

    return Rows(
        floats(columns),
        floats(base),
        floats(quality),
        ids(battles.prompts),
        ids(battles.first),
        ids(battles.second),
        ids(battles.outcome),
        floats(battle_weights),
        floats(model_weights),
    )


def take(table: Tensor, rows: Tensor) -> Tensor:
    """``table[rows]``, (rows, columns) by (seeds, batch) -> (seeds, batch, columns), faster on a CPU."""
    return table.index_select(0, rows.flatten()).view(*rows.shape, -1)
