"""The whole network of all seeds: bags, fusion and classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.bag import StackedBag
from fusionapp.adapters.torch_heads.fusions import Attention, View, build_fusion, spans_of
from fusionapp.adapters.torch_heads.late import LateFusion
from fusionapp.adapters.torch_heads.layers import SourceDropout, StackedLinear, StackedMLP
from fusionapp.adapters.torch_heads.sources import SourceCard
from fusionapp.adapters.torch_heads.sparse import SparseRows
from fusionapp.adapters.torch_shared.seed_dropout import SeedDropout
from fusionapp.adapters.torch_shared.streams import seed_streams
from fusionapp.domain.fusion.products import with_residual
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe


class FusionHead(nn.Module):
    """Logits of every seed: one batch of each source -> (seeds, batch, classes).

    Built with uninitialised weights: `draw` fills them for training, a loaded state for scoring.

    Attributes:
        cards: the sources, in order.
        scale: (seeds, 1, 1), by which the linear path's scores enter the logits, 1 until the trainer knows better;
            None without a path.
    """

    def __init__(
        self,
        seeds: int,
        spec: FusionSpec,
        recipe: TrainingRecipe,
        cards: Sequence[SourceCard],
        classes: int,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.cards = tuple(cards)
        widths = [card.recipe.bag_width or spec.bag_width for card in cards]
        views = [
            View(1, width, dense=False) if card.sparse else View(card.layers, card.dim, dense=True)
            for card, width in zip(cards, widths, strict=True)
        ]
        self.bags = nn.ModuleList(
            StackedBag(seeds, card.kept, width) if card.sparse else nn.Identity()
            for card, width in zip(cards, widths, strict=True)
        )
        self.source_dropouts = nn.ModuleList(SeedDropout(card.recipe.dropout) for card in cards)
        self.leave_out = SourceDropout(recipe.source_dropout)
        self.late = LateFusion(seeds, recipe, views, classes) if spec.kind == "late" else None
        if self.late is None:
            self.fusion = build_fusion(seeds, spec, views, recipe.dropout)
            self.residual = spec.residual
            spans = (*(spans_of(views) if spec.residual else ()), *self.fusion.spans)
            width = sum(span.width for span in spans)
            self.input_dropout = SeedDropout(recipe.input_dropout)
            self.classifier = StackedMLP(seeds, width, recipe.hidden_dims, classes, recipe.dropout, spans)
        self.scale = nn.Parameter(torch.ones(seeds, 1, 1)) if linear else None

    def forward(self, batch: Sequence[Tensor | SparseRows], linear: Tensor | None = None) -> Tensor:
        """Logits of one batch.

        Args:
            batch: dense (seeds, batch, layers, dim) or CSR (seeds x batch, columns), one per source.
            linear: (seeds, batch, classes) scores of the linear path, where the head has one.

        Returns:
            (seeds, batch, classes).
        """
        entered = self.leave_out(
            [drop(bag(x)) for drop, bag, x in zip(self.source_dropouts, self.bags, batch, strict=True)]
        )
        logits: Tensor = self._fuse(entered) if self.late is None else self.late(entered)
        return self.beside(logits, linear)

    def beside(self, logits: Tensor, linear: Tensor | None) -> Tensor:
        """The network's logits (seeds, batch, classes) and the linear path's scores, added up."""
        if self.scale is None or linear is None:
            return logits
        # A path that errs on train is left out, never turned round.
        # (relu, since torch 2.11 cannot write a clamp as ONNX.)
        return torch.addcmul(logits, torch.relu(self.scale), linear)

    def _fuse(self, entered: Sequence[Tensor]) -> Tensor:
        fused = self.fusion(entered)
        if self.residual:
            fused = with_residual([x.flatten(-2) for x in entered], fused)
        logits: Tensor = self.classifier(self.input_dropout(fused))
        return logits

    @property
    def final_layers(self) -> list[StackedLinear]:
        """The layers whose outputs are class logits."""
        if self.late is None:
            return [self.classifier.final]
        return [classifier.final for classifier in self.late.each if isinstance(classifier, StackedMLP)]

    def draw(self, seeds: Sequence[int], device: torch.device, train_dtype: torch.dtype) -> None:
        """Make ready for training: each seed's weights and dropout from streams of its own.

        Weights are drawn on the CPU, where the head must still be, so that every device starts from the same.
        """
        weights, dropout = seed_streams(seeds, "weights"), seed_streams(seeds, "dropout", device)
        for module in self.modules():
            if isinstance(module, StackedLinear | StackedBag | Attention):
                module.draw(weights)
            if isinstance(module, SeedDropout | SourceDropout):
                module.streams = dropout
            if isinstance(module, StackedLinear):
                module.train_dtype = train_dtype
        for layer in self.final_layers:
            # bfloat16 logits would carry three digits only.
            layer.train_dtype = torch.float32

    def keep(self, seeds: Tensor) -> None:
        """Keep these positions of the stack, (kept,) int64, and forget the others."""
        for parameter in self.parameters():
            parameter.grad = None
            parameter.data = parameter.data[seeds]
        for module in self.modules():
            if isinstance(module, SeedDropout | SourceDropout):
                module.streams = [module.streams[position] for position in seeds.tolist()]

    def stacked_bags(self) -> list[StackedBag]:
        """The embedding bags, whose tables the row optimiser steps."""
        return [bag for bag in self.bags if isinstance(bag, StackedBag)]
