"""What each part of the input adds to a linear path's scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from fusionapp.application.ports.head_inspector import Part
from fusionapp.application.ports.linear_path import LinearPath
from fusionapp.domain.embeddings import Dense, Embeddings

Sources = Mapping[str, Embeddings]
Scores = NDArray[np.float32]


@attrs.frozen(eq=False)
class PathShares:
    """A linear path's scores, taken apart.

    Attributes:
        whole: (rows, classes) scores of the whole input.
        shares: (rows, classes) by part, what it adds to them beyond its mean over train. A source of several
            layers has a share for each, any other one for the whole.
    """

    whole: Scores
    shares: Mapping[Part, Scores]

    def without(self, removed: Iterable[Part]) -> Scores:
        """The scores (rows, classes) with parts replaced by their means."""
        scores = self.whole.copy()
        for part in removed:
            layers = [share for share in self.shares if share.name == part.name and share.layer is not None]
            for one in layers if part.layer is None and layers else [part]:
                scores -= self.shares[one]
        return scores


@attrs.frozen
class ShareLinearPath:
    """Takes a linear path's scores apart: a linear model adds up over its columns.

    Attributes:
        path: scores.
    """

    path: LinearPath

    def __call__(self, directory: str, sources: Sources, reference: Sources) -> PathShares:
        """The scores of some rows, part by part.

        A part's share is the score of the rows with everything else blank, less the mean of that over the
        reference: what blank columns and the intercept add is the same in both, and cancels.

        Args:
            directory: of the path.
            sources: the rows.
            reference: train rows, for the means.
        """
        shares = {}
        for part in _parts(sources):
            alone, usual = (self.path.score(directory, _only(part, rows)) for rows in (sources, reference))
            shares[part] = alone - usual.mean(axis=0, dtype=np.float64).astype(np.float32)
        return PathShares(self.path.score(directory, sources), shares)


def _parts(sources: Sources) -> Sequence[Part]:
    parts = []
    for name, embeddings in sources.items():
        layers = 1 if issparse(embeddings) else embeddings.shape[1]
        parts += [Part(name, layer if layers > 1 else None) for layer in range(layers)]
    return parts


def _only(part: Part, sources: Sources) -> Sources:
    """The sources with zeros, or sparse rows without cells, wherever the part does not stand."""
    kept: dict[str, Embeddings] = {}
    for name, embeddings in sources.items():
        if name == part.name and part.layer is None:
            kept[name] = embeddings
        elif issparse(embeddings):
            kept[name] = _empty(embeddings.shape[0], embeddings.shape[1])
        else:
            blank: Dense = np.zeros(embeddings.shape, dtype=np.float32)
            if name == part.name and part.layer is not None:
                blank[:, part.layer] = embeddings[:, part.layer]
            kept[name] = blank
    return kept


def _empty(rows: int, columns: int) -> csr_array:
    """Rows without cells; cells of 0 would be words that a text has."""
    starts, none = np.zeros(rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return csr_array((none.astype(np.float32), none, starts), shape=(rows, columns))
