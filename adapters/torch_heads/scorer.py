"""Scoring with saved heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from fusionapp.adapters.torch_heads.artefact import SavedHead, load_head, stack_heads
from fusionapp.adapters.torch_heads.sources import Source, check_linear, select
from fusionapp.adapters.torch_shared.device import resolve_device
from fusionapp.adapters.torch_shared.failures import memory_guard
from fusionapp.application.ports.heads import HeadScorer
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import softmax


@attrs.frozen
class TorchHeadScorer(HeadScorer):
    """Runs saved heads in float32; those of one training run go through stacked.

    Attributes:
        device: "auto", "cpu" or a CUDA device.
    """

    device: str = "auto"

    def score(
        self,
        directories: Sequence[str],
        sources: Mapping[str, Embeddings],
        linear: NDArray[np.float32] | None = None,
        batch_rows: int = 1024,
    ) -> NDArray[np.float32]:
        """See `HeadScorer.score`.

        Raises:
            CorruptArtifactError: an artefact is missing or unreadable.
            UsageError: the sources or the linear path are not those of a head, or no head is named.
            ResourceError: a batch does not fit in memory.
        """
        if not directories or batch_rows < 1:
            raise UsageError(
                f"scoring: {len(directories)} heads and batches of {batch_rows} rows; need 1 of each"
            )
        heads = [load_head(directory) for directory in directories]
        classes = common_classes(heads)
        rows = check_sources(heads, sources)
        check_path(directories, heads, linear, (rows, classes))
        probabilities = np.empty((len(heads), rows, classes), dtype=np.float32)
        with memory_guard('lower the batch size, or set device = "cpu"'):
            for group in alike(heads):
                probabilities[group] = self._score(
                    [heads[position] for position in group], sources, linear, rows, batch_rows
                )
        return probabilities

    @torch.inference_mode()
    def _score(
        self,
        heads: Sequence[SavedHead],
        sources: Mapping[str, Embeddings],
        linear: NDArray[np.float32] | None,
        rows: int,
        batch_rows: int,
    ) -> NDArray[np.float32]:
        device = resolve_device(self.device)
        network = stack_heads(heads, device)
        temperatures = torch.tensor([head.card.temperature for head in heads], device=device)
        scored = np.empty((len(heads), rows, heads[0].card.classes), dtype=np.float32)
        for start in range(0, rows, batch_rows):
            prepared = [
                source.prepare(sources[source.card.name][start : start + batch_rows], device)
                for source in heads[0].sources
            ]
            some = torch.arange(min(batch_rows, rows - start), device=device).expand(len(heads), -1)
            path = None
            if linear is not None:
                path = torch.tensor(linear[start : start + batch_rows], dtype=torch.float32, device=device)
            logits = network(select(prepared, some), path) / temperatures[:, None, None]
            scored[:, start : start + batch_rows] = softmax(logits).cpu().numpy()
        return scored


def common_classes(heads: Sequence[SavedHead]) -> int:
    """How many classes all heads tell apart.

    Raises:
        UsageError: their numbers differ.
    """
    classes = {head.card.classes for head in heads}
    if len(classes) > 1:
        raise UsageError(f"scoring: heads over {sorted(classes)} classes cannot be scored together")
    return classes.pop()


def check_path(
    directories: Sequence[str],
    heads: Sequence[SavedHead],
    linear: NDArray[np.float32] | None,
    shape: tuple[int, int],
) -> None:
    """Refuse scores of a linear path that a head was not trained beside, none where it was, or another shape.

    Raises:
        UsageError: names the head.
    """
    for directory, head in zip(directories, heads, strict=True):
        if head.card.linear and linear is None:
            raise UsageError(f"scoring: {directory} was trained beside a linear path; give its scores too")
        if linear is not None and not head.card.linear:
            raise UsageError(f"scoring: {directory} was trained without a linear path; give no scores of one")
    if linear is not None:
        check_linear("scoring", linear, shape)


def alike(heads: Sequence[SavedHead]) -> list[list[int]]:
    """Positions of heads that share network and weightings, and so can be stacked."""
    groups: list[list[int]] = []
    for position, head in enumerate(heads):
        for group in groups:
            if _same(heads[group[0]], head):
                group.append(position)
                break
        else:
            groups.append([position])
    return groups


def _same(one: SavedHead, other: SavedHead) -> bool:
    cards = [(h.card.fusion, h.card.sources, h.card.recipe.hidden_dims, h.card.linear) for h in (one, other)]
    return cards[0] == cards[1] and all(
        all(map(np.array_equal, _fitted(a), _fitted(b)))
        for a, b in zip(one.sources, other.sources, strict=True)
    )


def _fitted(source: Source) -> list[NDArray[Any]]:
    """The arrays that a source learned from train; equal cards learn arrays of the same meaning."""
    if source.weighting is not None:
        return [source.weighting.columns, source.weighting.idf]
    if source.standardization is not None:
        return [source.standardization.mean, source.standardization.deviation]
    return []


def check_sources(heads: Sequence[SavedHead], sources: Mapping[str, Embeddings]) -> int:
    """The rows of sources that hold what every head was trained on.

    Raises:
        UsageError: a source is missing, or they have different numbers of rows.
    """
    wanted = {source.card.name for head in heads for source in head.sources}
    if missing := sorted(wanted - sources.keys()):
        raise UsageError(
            f"scoring: source {missing[0]!r} is missing; the head was trained on {sorted(wanted)}"
        )
    rows = {int(embeddings.shape[0]) for embeddings in sources.values()}
    if len(rows) != 1:
        raise UsageError(f"scoring: sources have different numbers of rows: {sorted(rows)}")
    return rows.pop()
