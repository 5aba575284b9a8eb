"""The recipe's loss over a pool's embeddings."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from fusionapp.adapters.huggingface.tuning.pools import Pool
from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.contrastive import info_nce, margin_loss, similarities, triplet_loss
from fusionapp.domain.retrieval.false_negatives import FalseNegatives
from fusionapp.domain.retrieval.recipe import TuningRecipe

_TEMPERATURES = (0.005, 1.0)
"""Between these a learned temperature stays; CLIP's floor of 0.01 (Radford et al. 2021) is within reach."""

TEMPERATURE_TIMES = 100.0
"""A temperature's rate as a multiple of the encoder's, whose 1e-5 to 1e-4 would move its logarithm by a few
thousandths in a whole run."""


def false_negatives(recipe: TuningRecipe, pairs: PairSet) -> FalseNegatives:
    """What is no negative in a pair set, as the recipe has it."""
    return FalseNegatives.of(
        pairs.queries,
        pairs.documents,
        pairs.query_ids,
        pairs.document_ids,
        pairs.pairs,
        labels=pairs.labels if recipe.mask_same_label else None,
        near_duplicate=recipe.near_duplicate,
    )


class Objective:
    """Embeddings of a pool's distinct texts to a scalar.

    Attributes:
        parameters: what of the loss itself is trained.
    """

    def __init__(self, recipe: TuningRecipe, dim: int, device: torch.device) -> None:
        """Set up.

        Args:
            recipe: which loss.
            dim: width of an embedding.
            device: of the embeddings.

        Raises:
            UsageError: a Matryoshka dim beyond the width, or a learned temperature without a softmax or out
                of its range.
        """
        too_wide = [each for each in recipe.matryoshka_dims if each > dim]
        if too_wide:
            raise UsageError(
                f"train.matryoshka_dims: {too_wide[0]} is more than the {dim} numbers of an embedding"
            )
        if recipe.learn_temperature and recipe.loss != "infonce":
            raise UsageError(
                f"train.learn_temperature: the loss {recipe.loss!r} has no temperature; set it to false"
            )
        least, most = _TEMPERATURES
        if recipe.learn_temperature and not least <= recipe.temperature <= most:
            raise UsageError(
                f"train.temperature: one that is learned stays within {least:g} and {most:g}, and cannot begin at "
                f"{recipe.temperature:g}; use 0.05"
            )
        self._recipe = recipe
        # The logarithm is trained: steps are then in proportion, and the temperature stays above 0.
        self._log = nn.Parameter(
            torch.tensor(log(recipe.temperature), device=device), requires_grad=recipe.learn_temperature
        )
        self._dims = sorted({*recipe.matryoshka_dims, dim})
        self.parameters: list[nn.Parameter] = [self._log] if recipe.learn_temperature else []

    @property
    def temperature(self) -> float:
        """What similarities are divided by now."""
        return float(self._log.detach().exp()) if self.parameters else self._recipe.temperature

    def keep_in_range(self) -> None:
        """Take a learned temperature back to where it may be; call after each step."""
        with torch.no_grad():
            for parameter in self.parameters:
                parameter.clamp_(*map(log, _TEMPERATURES))

    def __call__(self, queries: Tensor, documents: Tensor, pool: Pool, allowed: Tensor) -> Tensor:
        """The loss; with Matryoshka dims, its mean over them and the whole width.

        Args:
            queries: (queries, dim) floating, of the pool's distinct queries.
            documents: (documents, dim), of its distinct documents.
            pool: says which belong together.
            allowed: (pairs, documents) bool, which documents may be negatives of which pair's query.
        """
        asked = torch.from_numpy(pool.query).to(queries.device)
        positives = torch.from_numpy(pool.document).to(queries.device)
        losses = []
        for dim in self._dims:
            scores = similarities(queries[:, :dim], documents[:, :dim], self._recipe.similarity)
            losses.append(self._loss(scores[asked], positives, allowed))
        return torch.stack(losses).mean()

    def _loss(self, scores: Tensor, positives: Tensor, allowed: Tensor) -> Tensor:
        recipe = self._recipe
        if recipe.loss == "triplet":
            return triplet_loss(scores, positives, allowed, recipe.margin)
        if recipe.loss == "margin":
            return margin_loss(scores, positives, allowed, recipe.margin)
        temperature = self._log.exp() if self.parameters else recipe.temperature
        return info_nce(scores, positives, allowed, temperature, recipe.directions)
