"""Where in each fusion its weights and its products are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, nn

from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.opened import Batch
from fusionapp.adapters.torch_heads.sources import SourceCard
from fusionapp.application.ports.head_inspector import Part
from fusionapp.domain.cooccurrence import saturation
from fusionapp.domain.fusion.mixtures import attention_weights
from fusionapp.domain.fusion.products import ProductKind, fold_lengths
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.normalization import softmax

Seen = Callable[[FusionHead, Batch], Tensor]


@attrs.frozen
class Product:
    """One product of a fusion.

    Attributes:
        name: as printed.
        quantity: what is seen of it, as in `Interaction`.
        seen: (heads, batch) of a batch.
    """

    name: str
    quantity: Literal["length", "saturated"]
    seen: Seen


def weighed_parts(spec: FusionSpec, cards: Sequence[SourceCard]) -> tuple[Part, ...]:
    """What a fusion weighs, in the order of its weights."""
    if spec.kind == "moe":
        return tuple(Part(f"expert {number}") for number in range(1, spec.experts + 1))
    if spec.kind == "attention":
        return tuple(
            Part(card.name, layer if card.layers > 1 else None)
            for card in cards
            for layer in range(card.layers)
        )
    return tuple(Part(card.name) for card in cards)


def products(spec: FusionSpec, cards: Sequence[SourceCard]) -> list[Product]:
    """The products of a fusion; none where it makes none, or has one source to make them of."""
    if spec.kind == "cooccurrence":
        squashed = spec.power != "none"
        return [Product("co-occurrence", "saturated", _saturated)] if squashed else []
    folds: Mapping[str, Sequence[tuple[ProductKind, str]]] = {
        "hadamard": [("hadamard", "project")],
        "low_rank": [("low_rank", "project")],
        "matmul": [("matmul", "project")],
        "quaternion": [("quaternion", "project")],
        "all_features": [
            ("quaternion", "project_products"),
            ("matmul", "project_products"),
            ("hadamard", "project"),
        ],
    }
    return [
        Product(f"{kind} with {card.name}", "length", partial(_length, kind, projections, step))
        for kind, projections in folds.get(spec.kind, [])
        for step, card in enumerate(cards[1:])
    ]


def _gate(network: FusionHead, batch: Batch) -> Tensor:
    """Gates weigh every dimension; their mean is what a source counts for."""
    fusion: Any = network.fusion
    with _output_of(fusion.gate) as seen:
        network(batch)
    logits = seen[0].view(*seen[0].shape[:2], len(network.cards), -1)
    weights: Tensor = softmax(logits, axis=-2).mean(-1)
    return weights


def _experts(network: FusionHead, batch: Batch) -> Tensor:
    fusion: Any = network.fusion
    with _output_of(fusion.gate) as seen:
        network(batch)
    weights: Tensor = softmax(seen[0])
    return weights


def _attention(network: FusionHead, batch: Batch) -> Tensor:
    fusion: Any = network.fusion
    with _output_of(fusion.key) as seen:
        network(batch)
    query, views = fusion.query, fusion.place.shape[2]
    keys = seen[0].view(len(query), -1, views, query.shape[2], query.shape[-1]).transpose(-2, -3)
    weights: Tensor = attention_weights(query, keys)[..., 0, :].mean(2)
    return weights


def _late(network: FusionHead, batch: Batch) -> Tensor:
    """The same for every row."""
    late: Any = network.late
    rows = network(batch).shape[1]
    weights: Tensor = late.weights[:, None].expand(-1, rows, -1)
    return weights


WEIGHTS: Mapping[str, Seen] = {"gated": _gate, "moe": _experts, "attention": _attention, "late": _late}
"""By kind of fusion: (heads, batch, parts), each row's summing to 1."""


def _length(kind: ProductKind, projections: str, step: int, network: FusionHead, batch: Batch) -> Tensor:
    with _output_of(getattr(network.fusion, projections)) as seen:
        network(batch)
    lengths: Tensor = fold_lengths(kind, seen[0])[step]
    return lengths


def _saturated(network: FusionHead, batch: Batch) -> Tensor:
    """A head's share over the batch, in each of its rows, so that the mean over rows is the share over all."""
    with _output_of(network.fusion) as seen:
        network(batch)
    cells = seen[0][..., : network.fusion.spans[0].width]
    shares = torch.tensor([saturation(of_head) for of_head in cells], device=cells.device)
    return shares[:, None].expand(-1, cells.shape[1])


@contextmanager
def _output_of(module: nn.Module) -> Iterator[list[Any]]:
    """What a module gives out while the network runs."""
    seen: list[Any] = []

    def keep(_: nn.Module, __: object, output: Any) -> None:
        seen.append(output)

    handle = module.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
