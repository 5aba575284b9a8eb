"""The recipe's loss over a pool's embeddings."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from fusionapp.adapters.huggingface.tuning.pools import Pool
from fusionapp.domain.retrieval.recipe import TuningRecipe

_TEMPERATURES = (0.005, 1.0)


class Objective:
    def __init__(self, recipe: TuningRecipe, device: torch.device) -> None:
        self._recipe = recipe
        self._log = nn.Parameter(
            torch.tensor(log(recipe.temperature), device=device), requires_grad=recipe.learn_temperature
        )

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [self._log] if self._log.requires_grad else []

    @property
    def temperature(self) -> float:
        return float(self._log.exp()) if self._recipe.learn_temperature else self._recipe.temperature

    def keep_in_range(self) -> None:
        if self._recipe.learn_temperature:
            with torch.no_grad():
                self._log.clamp_(*map(log, _TEMPERATURES))

    def __call__(self, queries: Tensor, documents: Tensor, pool: Pool) -> Tensor:
        q, d = nn.functional.normalize(queries, dim=-1), nn.functional.normalize(documents, dim=-1)
        s = q @ d.T / (self._log.exp() if self._recipe.learn_temperature else self._recipe.temperature)
        query, document = torch.from_numpy(pool.query), torch.from_numpy(pool.document)
        return (nn.functional.cross_entropy(s[query], document) + nn.functional.cross_entropy(s.T[document], query)) / 2
