"""Linear paths fitted once for all heads that add to the same one: a sweep trains many over one set."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.linear.artefact import CARD_FILE, load_linear, save_linear
from fusionapp.adapters.linear.path import ScipyLinearPath
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.application.ports.linear_path import LinearPath, PathScores
from fusionapp.application.ports.progress import Progress
from fusionapp.domain.embeddings import Embeddings, fingerprint
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.linear_layer import LinearLayer
from fusionapp.domain.recipe import SourceRecipe

_ROWS_AT_ONCE = 4096


@attrs.frozen(eq=False)
class Fit:
    """A fit of this process.

    Attributes:
        directory: where its model stands.
        card: the bytes of its card, which name the hash of its weights.
        scores: what it said.
    """

    directory: str
    card: bytes
    scores: PathScores


@attrs.frozen(eq=False)
class RememberedLinearPath(LinearPath):
    """Fits as another path does, and copies a fit of this process where everything that went into it is the same.

    Attributes:
        path: fits and scores.
        most: how many fits are remembered, the latest first; only their scores stay in memory.
    """

    path: ScipyLinearPath = attrs.field(factory=ScipyLinearPath)
    most: int = 8
    _fits: OrderedDict[str, Fit] = attrs.field(factory=OrderedDict, init=False)

    def fit(
        self,
        kind: LinearKind,
        classes: int,
        train: LabelledEmbeddings,
        validation: LabelledEmbeddings,
        recipes: Mapping[str, SourceRecipe],
        costs: Sequence[float],
        folds: int,
        seed: int,
        directory: str,
        progress: Progress,
    ) -> PathScores:
        """As `LinearPath.fit`; the model stands in `directory` either way."""
        key = fingerprint(
            {
                "settings": [kind, classes, list(costs), folds, seed],
                "recipes": {name: attrs.asdict(recipes.get(name, SourceRecipe())) for name in train.sources},
                "rows": [_hash_rows(train), _hash_rows(validation)],
            }
        )
        earlier = self._fits.get(key)
        if earlier is not None and _copied(earlier, directory):
            self._fits.move_to_end(key)
            return _copy(earlier.scores)
        scores = self.path.fit(
            kind, classes, train, validation, recipes, costs, folds, seed, directory, progress
        )
        self._fits[key] = Fit(directory, Path(directory, CARD_FILE).read_bytes(), _copy(scores))
        while len(self._fits) > self.most:
            self._fits.popitem(last=False)
        return scores

    def score(self, directory: str, sources: Mapping[str, Embeddings]) -> NDArray[np.float32]:
        """As `LinearPath.score`."""
        return self.path.score(directory, sources)

    def as_layer(self, directory: str) -> LinearLayer:
        """As `LinearPath.as_layer`."""
        return self.path.as_layer(directory)


def _copy(scores: PathScores) -> PathScores:
    """Whoever gets scores may write into them."""
    return attrs.evolve(scores, train=scores.train.copy(), validation=scores.validation.copy())


def _copied(fit: Fit, directory: str) -> bool:
    """Copy a model; False where it is gone, was damaged, or another one stands in its place."""
    try:
        if Path(fit.directory, CARD_FILE).read_bytes() != fit.card:
            return False
        model = load_linear(fit.directory)
    except (OSError, CorruptArtifactError):
        return False
    save_linear(directory, model)
    return True


def _hash_rows(labelled: LabelledEmbeddings) -> dict[str, str]:
    """Every number of every source, in their order, and the labels."""
    found = {"labels": sha256(np.ascontiguousarray(labelled.labels).data).hexdigest()}
    for position, (name, embeddings) in enumerate(labelled.sources.items()):
        digest = sha256(f"{embeddings.shape} {embeddings.dtype}".encode())
        parts: list[NDArray[Any]] = (
            [embeddings]
            if isinstance(embeddings, np.ndarray)
            else [embeddings.data, embeddings.indices, embeddings.indptr]
        )
        for part in parts:
            for start in range(0, len(part), _ROWS_AT_ONCE):
                digest.update(np.ascontiguousarray(part[start : start + _ROWS_AT_ONCE]).data)
        found[f"{position} {name}"] = digest.hexdigest()
    return found
