"""Saved heads opened over some rows, to be run as they are, without a part, or with an eye on their insides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.artefact import SavedHead, stack_heads
from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.sources import DenseRows, select
from fusionapp.adapters.torch_heads.sparse import SparseRows
from fusionapp.application.ports.head_inspector import Ablation, Part
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.normalization import softmax

Batch = Sequence[Tensor | SparseRows]


@attrs.frozen(eq=False)
class OpenedHeads:
    """Heads that run as one network, and the rows that they run over.

    Attributes:
        heads: as loaded; alike, so that they can be stacked.
        network: all of them.
        rows: how many rows.
        prepared: the rows of each source, on the device.
        device: of network and rows.
        batch_rows: rows in a batch.
    """

    heads: Sequence[SavedHead]
    network: FusionHead
    rows: int
    prepared: Sequence[DenseRows | SparseRows]
    device: torch.device
    batch_rows: int

    @classmethod
    def over(
        cls,
        sources: Mapping[str, Embeddings],
        heads: Sequence[SavedHead],
        device: torch.device,
        batch_rows: int,
    ) -> OpenedHeads:
        """Prepare the rows of sources, and stack the heads."""
        wanted = heads[0].sources
        rows = sources[wanted[0].card.name].shape[0]
        prepared = [source.prepare(sources[source.card.name], device) for source in wanted]
        return cls(heads, stack_heads(heads, device), rows, prepared, device, batch_rows)

    @torch.inference_mode()
    def score(self, ablation: Ablation, means: Sequence[Tensor]) -> NDArray[np.float32]:
        """Calibrated probabilities (heads, rows, classes).

        Args:
            ablation: what is removed, and the linear path's scores.
            means: what removed parts are replaced by, as `means` gives them; empty where nothing is removed.
        """
        temperatures = torch.tensor([head.card.temperature for head in self.heads], device=self.device)
        scored = np.empty((len(self.heads), self.rows, self.heads[0].card.classes), dtype=np.float32)
        with self._without(ablation.removed, means):
            for place, batch in self._batches():
                path = None
                if ablation.linear is not None:
                    path = torch.tensor(ablation.linear[place], dtype=torch.float32, device=self.device)
                logits = self.network(batch, path) / temperatures[:, None, None]
                scored[:, place] = softmax(logits).cpu().numpy()
        return scored

    @torch.inference_mode()
    def means(self) -> Sequence[Tensor]:
        """What each source enters the fusion as, on average over the rows: (heads, 1, layers, dim) each."""
        totals: list[Tensor] = []
        for _, batch in self._batches():
            entered = [bag(x) for bag, x in zip(self.network.bags, batch, strict=True)]
            sums = [x.sum(1, keepdim=True, dtype=torch.float64) for x in entered]
            totals = [a + b for a, b in zip(totals, sums, strict=True)] if totals else sums
        return [(total / self.rows).float() for total in totals]

    @torch.inference_mode()
    def watch(self, seen: Callable[[FusionHead, Batch], Tensor]) -> NDArray[np.float32]:
        """What `seen` makes of each batch, (heads, batch, ...), joined over the rows."""
        watched = [seen(self.network, batch) for _, batch in self._batches()]
        joined: NDArray[np.float32] = torch.cat(watched, dim=1).float().cpu().numpy()
        return joined

    def _batches(self) -> Iterator[tuple[slice, Batch]]:
        for start in range(0, self.rows, self.batch_rows):
            some = torch.arange(start, min(start + self.batch_rows, self.rows), device=self.device)
            yield slice(start, start + len(some)), select(self.prepared, some.expand(len(self.heads), -1))

    @contextmanager
    def _without(self, removed: Sequence[Part], means: Sequence[Tensor]) -> Iterator[None]:
        names = [card.name for card in self.network.cards]
        with ExitStack() as hooks:
            for part in removed:
                place = names.index(part.name)
                bag: nn.Module = self.network.bags[place]
                handle = bag.register_forward_hook(_replacing(part.layer, means[place]))
                hooks.callback(handle.remove)
            yield


def _replacing(layer: int | None, mean: Tensor) -> Callable[[nn.Module, object, Tensor], Tensor]:
    chosen = slice(None) if layer is None else slice(layer, layer + 1)

    def replace(_: nn.Module, __: object, entered: Tensor) -> Tensor:
        replaced = entered.clone()
        replaced[:, :, chosen] = mean[:, :, chosen]
        return replaced

    return replace
