"""The whole network of all seeds: bags, fusion and classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.bag import StackedBag
from fusionapp.adapters.torch_heads.fusions import Attention, View, build_fusion
from fusionapp.adapters.torch_heads.layers import SeedDropout, StackedLinear, StackedMLP
from fusionapp.adapters.torch_heads.sources import SourceCard
from fusionapp.adapters.torch_heads.sparse import SparseRows
from fusionapp.adapters.torch_heads.streams import seed_streams
from fusionapp.domain.fusion.products import with_residual
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe


class FusionHead(nn.Module):
    """Logits of every seed: one batch of each source -> (seeds, batch, classes).

    Built with uninitialised weights: `draw` fills them for training, a loaded state for scoring.
    """

    def __init__(
        self, seeds: int, spec: FusionSpec, recipe: TrainingRecipe, cards: Sequence[SourceCard], classes: int
    ) -> None:
        super().__init__()
        views = [
            View(1, spec.bag_width, dense=False) if card.sparse else View(card.layers, card.dim, dense=True)
            for card in cards
        ]
        self.bags = nn.ModuleList(
            StackedBag(seeds, card.kept, spec.bag_width) if card.sparse else nn.Identity() for card in cards
        )
        self.fusion = build_fusion(seeds, spec, views, recipe.dropout)
        self.residual = spec.residual
        width = self.fusion.out_dim + (sum(view.width for view in views) if spec.residual else 0)
        self.input_dropout = SeedDropout(recipe.input_dropout)
        self.classifier = StackedMLP(seeds, width, recipe.hidden_dims, classes, recipe.dropout)

    def forward(self, batch: Sequence[Tensor | SparseRows]) -> Tensor:
        """Dense (seeds, batch, layers, dim) or CSR (seeds x batch, columns) each -> (seeds, batch, classes)."""
        entered: list[Tensor] = [bag(x) for bag, x in zip(self.bags, batch, strict=True)]
        fused = self.fusion(entered)
        if self.residual:
            fused = with_residual([x.flatten(-2) for x in entered], fused)
        logits: Tensor = self.classifier(self.input_dropout(fused))
        return logits

    def draw(self, seeds: Sequence[int], device: torch.device, train_dtype: torch.dtype) -> None:
        """Make ready for training: each seed's weights and dropout from streams of its own.

        Weights are drawn on the CPU, where the head must still be, so that every device starts from the same.
        """
        weights, dropout = seed_streams(seeds, "weights"), seed_streams(seeds, "dropout", device)
        for module in self.modules():
            if isinstance(module, StackedLinear | StackedBag | Attention):
                module.draw(weights)
            if isinstance(module, SeedDropout):
                module.streams = dropout
            if isinstance(module, StackedLinear):
                module.train_dtype = train_dtype
        # bfloat16 logits would carry three digits only.
        self.classifier.final.train_dtype = torch.float32

    def keep(self, seeds: Tensor) -> None:
        """Keep these positions of the stack, (kept,) int64, and forget the others."""
        for parameter in self.parameters():
            parameter.grad = None
            parameter.data = parameter.data[seeds]
        for module in self.modules():
            if isinstance(module, SeedDropout):
                module.streams = [module.streams[position] for position in seeds.tolist()]

    def stacked_bags(self) -> list[StackedBag]:
        """The embedding bags, whose tables the row optimiser steps."""
        return [bag for bag in self.bags if isinstance(bag, StackedBag)]
