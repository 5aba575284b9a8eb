"""The head inspector in torch: hooks on the modules of saved heads, so that it runs what scoring runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.torch_heads.artefact import SavedHead, load_head
from fusionapp.adapters.torch_heads.card import HeadCard
from fusionapp.adapters.torch_heads.insides import WEIGHTS, Seen, products, weighed_parts
from fusionapp.adapters.torch_heads.opened import OpenedHeads
from fusionapp.adapters.torch_heads.scorer import alike, check_path, check_sources, common_classes
from fusionapp.adapters.torch_heads.sources import SourceCard
from fusionapp.adapters.torch_shared.device import resolve_device
from fusionapp.adapters.torch_shared.failures import memory_guard
from fusionapp.application.ports.head_inspector import (
    Ablation,
    FusionWeights,
    HeadInspector,
    Interaction,
    Part,
)
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import UsageError

_WAY_OUT = 'explain a smaller split, or set train.device = "cpu"'


@attrs.frozen
class TorchHeadInspector(HeadInspector):
    """Runs saved heads in float32; those of one training run go through stacked.

    Attributes:
        device: "auto", "cpu" or a CUDA device.
        batch_rows: rows in a batch.
    """

    device: str = "auto"
    batch_rows: int = 1024

    def score_without(
        self,
        directories: Sequence[str],
        sources: Mapping[str, Embeddings],
        reference: Mapping[str, Embeddings],
        ablations: Iterable[Ablation],
    ) -> Iterator[NDArray[np.float32]]:
        """See `HeadInspector.score_without`."""
        heads = _load(directories)
        shape = check_sources(heads, sources), common_classes(heads)
        check_sources(heads, reference)
        opened = self._open(heads, sources)
        means: list[Sequence[Tensor]] = []
        for ablation in ablations:
            check_path(directories, heads, ablation.linear, shape)
            _check_parts(ablation.removed, heads[0].card.sources)
            probabilities = np.empty((len(heads), *shape), dtype=np.float32)
            with memory_guard(_WAY_OUT):
                if ablation.removed and not means:
                    means = [one.means() for _, one in self._open(heads, reference)]
                for position, (group, stack) in enumerate(opened):
                    probabilities[group] = stack.score(ablation, means[position] if ablation.removed else ())
            yield probabilities

    def weights(self, directories: Sequence[str], sources: Mapping[str, Embeddings]) -> FusionWeights | None:
        """See `HeadInspector.weights`."""
        heads = _load(directories)
        card = _one_fusion(heads)
        if card.fusion.kind not in WEIGHTS:
            return None
        weights = self._watch(heads, sources, [WEIGHTS[card.fusion.kind]])[0]
        return FusionWeights(weighed_parts(card.fusion, card.sources), weights)

    def interactions(
        self, directories: Sequence[str], sources: Mapping[str, Embeddings]
    ) -> Sequence[Interaction]:
        """See `HeadInspector.interactions`."""
        heads = _load(directories)
        card = _one_fusion(heads)
        found = products(card.fusion, card.sources)
        watched = self._watch(heads, sources, [product.seen for product in found])
        return [
            Interaction(
                product.name,
                product.quantity,
                values if product.quantity == "length" else values.mean(axis=1, keepdims=True),
            )
            for product, values in zip(found, watched, strict=True)
        ]

    def linear_scales(self, directories: Sequence[str]) -> Sequence[float] | None:
        """See `HeadInspector.linear_scales`."""
        heads = _load(directories)
        if not all(head.card.linear for head in heads):
            return None
        return [float(head.state["scale"].item()) for head in heads]

    def _open(
        self, heads: Sequence[SavedHead], sources: Mapping[str, Embeddings]
    ) -> list[tuple[list[int], OpenedHeads]]:
        device = resolve_device(self.device)
        with memory_guard(_WAY_OUT):
            return [
                (group, OpenedHeads.over(sources, [heads[i] for i in group], device, self.batch_rows))
                for group in alike(heads)
            ]

    def _watch(
        self, heads: Sequence[SavedHead], sources: Mapping[str, Embeddings], seen: Sequence[Seen]
    ) -> list[NDArray[np.float32]]:
        check_sources(heads, sources)
        opened = self._open(heads, sources) if seen else []
        watched = []
        for look in seen:
            with memory_guard(_WAY_OUT):
                parts = [(group, stack.watch(look)) for group, stack in opened]
            whole = np.empty((len(heads), *parts[0][1].shape[1:]), dtype=np.float32)
            for group, part in parts:
                whole[group] = part
            watched.append(whole)
        return watched


def _load(directories: Sequence[str]) -> list[SavedHead]:
    if not directories:
        raise UsageError("explaining: no head is named; train first")
    return [load_head(directory) for directory in directories]


def _one_fusion(heads: Sequence[SavedHead]) -> HeadCard:
    """The card of heads that share a fusion: weights of different fusions are not of the same things."""
    first = heads[0].card
    if any((head.card.fusion, head.card.sources) != (first.fusion, first.sources) for head in heads):
        raise UsageError(
            "explaining: the heads are of different fusions or sources; explain one run at a time"
        )
    return first


def _check_parts(removed: Sequence[Part], cards: Sequence[SourceCard]) -> None:
    layers = {card.name: card.layers for card in cards}
    for part in removed:
        if part.name not in layers:
            raise UsageError(f"explaining: there is no source {part.name!r}; the heads have {sorted(layers)}")
        if part.layer is not None and not 0 <= part.layer < layers[part.name]:
            raise UsageError(
                f"explaining: source {part.name!r} has layers 0 to {layers[part.name] - 1}, not {part.layer}"
            )
