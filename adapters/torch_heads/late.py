"""Late fusion: each source is classified on its own, and the logits are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.fusions import View
from fusionapp.adapters.torch_heads.layers import Span, StackedLinear, StackedMLP
from fusionapp.adapters.torch_shared.seed_dropout import SeedDropout
from fusionapp.domain.fusion.mixtures import late_fusion
from fusionapp.domain.normalization import softmax
from fusionapp.domain.recipe import TrainingRecipe


class LateFusion(nn.Module):
    """One classifier per source, weighed by numbers that belong to the seed and not to the row.

    Attributes:
        each: the sources' classifiers.
        weight_logits: (seeds, sources); their softmax weighs the sources, at first all alike.
    """

    def __init__(self, seeds: int, recipe: TrainingRecipe, views: Sequence[View], classes: int) -> None:
        super().__init__()
        self.input_dropout = SeedDropout(recipe.input_dropout)
        self.each = nn.ModuleList(
            StackedMLP(seeds, view.width, recipe.hidden_dims, classes, recipe.dropout) for view in views
        )
        for position, classifier in enumerate(self.each):
            for layer in classifier.modules():
                if isinstance(layer, StackedLinear):
                    layer.reads = (Span(position, layer.weight.shape[1]),)
        self.weight_logits = nn.Parameter(torch.zeros(seeds, len(views)))

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """(seeds, batch, layers, dim) each -> (seeds, batch, classes)."""
        logits = [
            classify(self.input_dropout(source.flatten(-2)))
            for classify, source in zip(self.each, sources, strict=True)
        ]
        weight_logits: Tensor = self.weight_logits
        return late_fusion(torch.stack(logits, dim=-2), weight_logits[:, None])

    @property
    def weights(self) -> Tensor:
        """(seeds, sources): what each source's logits count, summing to 1."""
        weight_logits: Tensor = self.weight_logits
        return softmax(weight_logits)
