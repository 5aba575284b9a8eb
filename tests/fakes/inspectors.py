"""Looking into the heads that cost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from fakes.heads import flattened, load_means, nearest_probabilities
from numpy.typing import NDArray

from fusionapp.application.ports.head_inspector import (
    Ablation,
    FusionWeights,
    HeadInspector,
    Interaction,
    Part,
)
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import UsageError


class NearestMeanInspector(HeadInspector):
    """Replaces parts by their means; weighs a source by the length of its vector, and multiplies lengths."""

    def score_without(
        self,
        directories: Sequence[str],
        sources: Mapping[str, Embeddings],
        reference: Mapping[str, Embeddings],
        ablations: Iterable[Ablation],
    ) -> Iterator[NDArray[np.float32]]:
        heads = _open(directories, sources)
        for ablation in ablations:
            flat = {name: flattened(sources[name]) for name in heads[0][0]}
            for part in ablation.removed:
                if part.name not in flat:
                    raise UsageError(f"explaining: there is no source {part.name!r}")
                chosen = _columns(part, sources[part.name])
                flat[part.name][:, chosen] = flattened(reference[part.name]).mean(0)[chosen]
            scored = []
            for directory, (names, means, beside_path) in zip(directories, heads, strict=True):
                if beside_path != (ablation.linear is not None):
                    raise UsageError(f"scoring: {directory}: a linear path is there that was not in training")
                x = np.concatenate([flat[name] for name in names], axis=1)
                scored.append(nearest_probabilities(means, x, ablation.linear))
            yield np.stack(scored).astype(np.float32)

    def weights(self, directories: Sequence[str], sources: Mapping[str, Embeddings]) -> FusionWeights | None:
        names = _open(directories, sources)[0][0]
        lengths = np.stack([_lengths(sources[name]) for name in names], axis=-1) + 1e-6
        shares = np.stack([lengths / lengths.sum(-1, keepdims=True)] * len(directories))
        return FusionWeights(tuple(Part(name) for name in names), shares.astype(np.float32))

    def interactions(
        self, directories: Sequence[str], sources: Mapping[str, Embeddings]
    ) -> Sequence[Interaction]:
        names = _open(directories, sources)[0][0]
        first = _lengths(sources[names[0]])
        return [
            Interaction(
                f"lengths with {name}",
                "length",
                np.stack([first * _lengths(sources[name])] * len(directories)).astype(np.float32),
            )
            for name in names[1:]
        ]

    def linear_scales(self, directories: Sequence[str]) -> Sequence[float] | None:
        heads = [load_means(Path(directory)) for directory in directories]
        return [1.0] * len(heads) if all(beside_path for *_, beside_path in heads) else None


def _open(
    directories: Sequence[str], sources: Mapping[str, Embeddings]
) -> list[tuple[list[str], NDArray[np.float32], bool]]:
    if not directories:
        raise UsageError("explaining: no head is named")
    heads = [load_means(Path(directory)) for directory in directories]
    if missing := sorted({name for names, *_ in heads for name in names} - sources.keys()):
        raise UsageError(f"scoring: source {missing[0]!r} is missing")
    return heads


def _columns(part: Part, embeddings: Embeddings) -> slice:
    if part.layer is None:
        return slice(None)
    layers, dim = embeddings.shape[1:]
    if part.layer >= layers:
        raise UsageError(f"explaining: source {part.name!r} has no layer {part.layer}")
    return slice(part.layer * dim, (part.layer + 1) * dim)


def _lengths(embeddings: Embeddings) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(flattened(embeddings), axis=1)
    return lengths
