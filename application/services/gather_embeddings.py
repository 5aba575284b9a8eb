"""Bring stored embeddings and labels of a split together, row by row."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.embedding_store import EmbeddingStore
from fusionapp.application.ports.spool import Spool
from fusionapp.domain.embeddings import Embeddings, Json, take_rows
from fusionapp.domain.errors import CorruptArtifactError, UsageError

logger = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class SplitEmbeddings:
    """One split as a head sees it; rows that any encoder quarantined are left out.

    Attributes:
        split: its name.
        origin: where it was read from, for messages: a file, a hub name.
        rows: (kept,) row numbers in the dataset, ascending.
        labels: the kept rows' labels, as printed.
        ids: the kept rows' id columns.
        sources: by encoder name: dense (kept, layers, dim) or CSR (kept, vocabulary).
        left_out: how many rows are missing.
    """

    split: str
    origin: str
    rows: NDArray[np.int64]
    labels: Sequence[str | None]
    ids: Sequence[Mapping[str, Json]]
    sources: Mapping[str, Embeddings]
    left_out: int


@attrs.frozen
class GatherEmbeddings:
    """Reads what `ExtractDataset` left behind.

    Attributes:
        store: the embeddings.
        spool: labels and ids.
    """

    store: EmbeddingStore
    spool: Spool

    def __call__(self, inventory: Mapping[str, Json], split: str) -> SplitEmbeddings:
        """One split of the run that an inventory (``embeddings.json``) describes.

        Raises:
            UsageError: the split was not extracted.
            CorruptArtifactError: a set is gone, incomplete or changed.
        """
        if split not in inventory["splits"]:
            raise UsageError(
                f"split {split!r} is not among {', '.join(inventory['splits'])}; extract it first"
            )
        spooled = self.spool.read(split)
        present, loaded = {}, {}
        for name, encoder in inventory["encoders"].items():
            present[name], loaded[name] = self._load(name, encoder["sets"][split])
        kept = _common_rows(list(present.values()), spooled.rows)
        if len(kept) < spooled.rows:
            logger.warning("%s: %d quarantined rows are left out", split, spooled.rows - len(kept))
        labels, ids = spooled.labels(), spooled.ids()
        return SplitEmbeddings(
            split=split,
            origin=inventory["splits"][split]["origin"],
            rows=kept,
            labels=[labels[row] for row in kept],
            ids=[ids[row] for row in kept],
            sources={name: _restrict(loaded[name], present[name], kept) for name in inventory["encoders"]},
            left_out=spooled.rows - len(kept),
        )

    def _load(self, name: str, place: Mapping[str, Json]) -> tuple[NDArray[np.int64], Embeddings]:
        stored = self.store.read(place["key"])
        if stored is None:
            raise CorruptArtifactError(
                f"{place['directory']}: the embeddings of {name!r} are gone; run `fusionapp extract` again"
            )
        if not stored.status().complete:
            raise CorruptArtifactError(
                f"{place['directory']}: the embeddings of {name!r} are incomplete; run `fusionapp extract` again"
            )
        return stored.rows(), stored.load()


def _common_rows(present: Sequence[NDArray[np.int64]], rows: int) -> NDArray[np.int64]:
    kept = np.ones(rows, dtype=np.bool_)
    for rows_of_one in present:
        mask = np.zeros(rows, dtype=np.bool_)
        mask[rows_of_one] = True
        kept &= mask
    return np.flatnonzero(kept).astype(np.int64)


def _restrict(embeddings: Embeddings, present: NDArray[np.int64], kept: NDArray[np.int64]) -> Embeddings:
    if len(present) == len(kept):
        return embeddings
    return take_rows(embeddings, np.searchsorted(present, kept).astype(np.int64))
