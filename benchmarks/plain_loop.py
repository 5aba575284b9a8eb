"""A good single-seed training loop without this project's heads: the reference for training several at once.

What an experienced user of torch would write: data resident on the device, `nn.Linear`, `nn.EmbeddingBag` with
sparse gradients, fused AdamW, automatic mixed precision where the hardware has it, the same schedule and
regularisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
import numpy as np
import torch
from fusion_steps import products_dtype
from scipy.sparse import csr_array
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.sources import DenseRows
from fusionapp.adapters.torch_heads.sparse import SparseRows
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.normalization import l2_normalize
from fusionapp.domain.recipe import TrainingRecipe

Rows = Sequence[DenseRows | SparseRows]


def unlike_plain_loop(fusion: FusionSpec, recipe: TrainingRecipe) -> list[str]:
    """Settings that `PlainHead` and its loop do not follow."""
    default = TrainingRecipe()
    names = ("optimizer", "schedule", "class_weights", "source_dropout", "warmup", "sources")
    found = [f"train.{name}" for name in names if getattr(recipe, name) != getattr(default, name)]
    return [*(["fusion.kind"] if fusion.kind != "concat" else []), *found]


class PlainHead(nn.Module):
    """Concatenated sources through one MLP."""

    def __init__(self, widths: Sequence[tuple[bool, int]], bag: int, recipe: TrainingRecipe, classes: int):
        super().__init__()
        self.bags = nn.ModuleList(
            nn.EmbeddingBag(columns, bag, mode="sum", sparse=True, include_last_offset=True)
            if sparse
            else nn.Identity()
            for sparse, columns in widths
        )
        for table in self.tables():
            nn.init.normal_(table, std=0.1)
        dims = [sum(bag if sparse else width for sparse, width in widths), *recipe.hidden_dims]
        layers: list[nn.Module] = [nn.Dropout(recipe.input_dropout)]
        for narrow, wide in pairwise(dims):
            layers += [nn.Linear(narrow, wide), nn.ReLU(), nn.Dropout(recipe.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(dims[-1], classes))

    def tables(self) -> list[Tensor]:
        """The weights of the embedding bags."""
        return [bag.weight for bag in self.bags if isinstance(bag, nn.EmbeddingBag)]

    def forward(self, rows: Rows) -> Tensor:
        """(batch, classes)."""
        entered = [
            bag(some.columns.long(), some.starts, per_sample_weights=some.weights)
            if isinstance(some, SparseRows)
            else some.values.flatten(1)
            for bag, some in zip(self.bags, rows, strict=True)
        ]
        logits: Tensor = self.layers(torch.cat(entered, dim=1))
        return logits


@attrs.frozen(eq=False)
class _Prepared:
    """How one source is prepared: a dense one scaled to numbers of variance 1, a sparse one weighted by TF-IDF."""

    weighting: LexicalWeighting | None
    width: int

    @classmethod
    def fit(cls, train: Embeddings) -> _Prepared:
        if isinstance(train, np.ndarray):
            return cls(None, train.shape[1] * train.shape[2])
        weighting = LexicalWeighting.fit(csr_array(train))
        return cls(weighting, len(weighting.columns))

    def to(self, embeddings: Embeddings, device: torch.device) -> DenseRows | SparseRows:
        if isinstance(embeddings, np.ndarray):
            scaled = l2_normalize(embeddings) * np.float32(embeddings.shape[2] ** 0.5)
            return DenseRows(torch.from_numpy(scaled).to(device))
        assert self.weighting is not None
        return SparseRows.of(self.weighting.transform(csr_array(embeddings)), device)


class PlainTraining:
    """Prepares the data once, then trains one seed a call."""

    def __init__(
        self,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        classes: int,
        train: LabelledEmbeddings,
        validation: LabelledEmbeddings,
        device: torch.device,
    ) -> None:
        self._fusion, self._recipe, self._classes, self._device = fusion, recipe, classes, device
        sources = [_Prepared.fit(embeddings) for embeddings in train.sources.values()]
        self._widths = [(source.weighting is not None, source.width) for source in sources]

        def prepared(split: LabelledEmbeddings) -> Rows:
            pairs = zip(sources, split.sources.values(), strict=True)
            return [source.to(embeddings, device) for source, embeddings in pairs]

        self._train, self._validation = prepared(train), prepared(validation)
        self._labels = torch.tensor(train.labels, device=device)
        self._validation_labels = torch.tensor(validation.labels, device=device)

    def __call__(self, seed: int) -> float:
        """Train one seed for all epochs; its best validation accuracy."""
        torch.manual_seed(seed)
        recipe = self._recipe
        head = PlainHead(self._widths, self._fusion.bag_width, recipe, self._classes).to(self._device)
        rate, epochs = recipe.learning_rate, recipe.limits(len(self._labels))[0]
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(head.layers.parameters(), rate, weight_decay=recipe.weight_decay, fused=True)
        ]
        if head.tables():
            optimizers.append(torch.optim.SparseAdam(head.tables(), rate))
        steps = epochs * -(-len(self._labels) // recipe.batch_size)
        schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(each, steps) for each in optimizers]
        best = 0.0
        for _ in range(epochs):
            self._epoch(head, optimizers, schedules)
            best = max(best, self._accuracy(head))
        return best

    def _epoch(
        self, head: PlainHead, optimizers: Sequence[torch.optim.Optimizer], schedules: Sequence[Any]
    ) -> None:
        head.train()
        low = products_dtype(self._device)
        order = torch.randperm(len(self._labels)).to(self._device)
        for rows in torch.split(order, self._recipe.batch_size):
            batch = [_take(source, rows) for source in self._train]
            with torch.autocast(self._device.type, low, enabled=low != torch.float32):
                logits = head(batch)
            loss = nn.functional.cross_entropy(
                logits.float(), self._labels[rows], label_smoothing=self._recipe.label_smoothing
            )
            torch.autograd.backward(loss)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()

    @torch.no_grad()
    def _accuracy(self, head: PlainHead) -> float:
        head.eval()
        hits = 0
        every = torch.arange(len(self._validation_labels), device=self._device)
        for rows in torch.split(every, 1024):
            logits = head([_take(source, rows) for source in self._validation])
            hits += int((logits.argmax(-1) == self._validation_labels[rows]).sum())
        return hits / len(self._validation_labels)


def _take(source: DenseRows | SparseRows, rows: Tensor) -> DenseRows | SparseRows:
    return source.take(rows) if isinstance(source, SparseRows) else DenseRows(source.values[rows])
