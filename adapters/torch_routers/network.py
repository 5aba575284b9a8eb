"""Networks that score every model for a prompt, in logits that are added to a base's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from fusionapp.adapters.torch_routers.stacked import StackedLinear
from fusionapp.adapters.torch_shared.seed_dropout import SeedDropout

Score = Literal["mlp", "two_towers"]


class RouterNetwork(nn.Module):
    """Logits of every model for a batch of prompts, of every seed of a stack.

    "mlp": layers over [prompt; model], the prompt's columns being embedding and features; the first layer is the
    sum of a prompt's part and a model's, so each is computed once and not for every pair. "two_towers": a prompt's
    vector, by the same layers over the prompt alone, times a model's, which is a linear map of its embedding.

    The last layer of what reads prompts begins at 0, so training starts from the base as it is. A network is made
    for one seed; `stack` joins those of several.
    """

    def __init__(
        self,
        score: Score,
        prompt_dim: int,
        models: Tensor,
        hidden_dims: Sequence[int],
        dropout: float,
        finetune_models: bool,
    ) -> None:
        """Args:
        score: which network.
        prompt_dim: columns of a prompt.
        models: (models, model_dim) model embeddings.
        hidden_dims: widths of the hidden layers, at least one.
        dropout: between them.
        finetune_models: whether model embeddings are trained on.
        """
        super().__init__()
        self.models = nn.Parameter(models.clone()[None], requires_grad=finetune_models)
        model_dim = models.shape[1]
        widths = list(hidden_dims)
        self.first = StackedLinear(prompt_dim, widths[0])
        self.inner = nn.ModuleList(StackedLinear(a, b) for a, b in pairwise(widths))
        self.dropout = SeedDropout(dropout)
        self._joins = score == "mlp"
        if self._joins:
            self.of_model = StackedLinear(model_dim, widths[0], bias=False)
            self.last = StackedLinear(widths[-1], 1)
        else:
            self.of_model = StackedLinear(model_dim, model_dim, bias=False)
            self.last = StackedLinear(widths[-1], model_dim)
        self.level = nn.Parameter(torch.zeros(1, len(models)))
        self.free_threshold = nn.Parameter(torch.zeros(1))
        """(seeds,): ln theta of Rao and Kupper is softplus of it; other losses leave it at 0."""
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, prompts: Tensor) -> Tensor:
        """(batch, prompt_dim), the same for all seeds, or (seeds, batch, prompt_dim) -> (seeds, batch, models)."""
        hidden = self.first(prompts.expand(len(self.level), -1, -1))
        models: Tensor = self.of_model(self.models)
        if self._joins:
            # Every model's row of a prompt follows the one before: layers see (seeds, batch x models, width).
            hidden = (hidden[:, :, None] + models[:, None]).flatten(1, 2)
        hidden = self._between(hidden)
        for layer in self.inner:
            hidden = self._between(layer(hidden))
        last: Tensor = self.last(hidden)
        if self._joins:
            logits = last.view(len(last), -1, models.shape[1])
        else:
            logits = last @ models.mT / models.shape[2] ** 0.5
        return logits + self.level[:, None]

    def _between(self, hidden: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(leaky_relu(hidden, inplace=True))
        return dropped
