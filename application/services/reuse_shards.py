"""Shards that another set holds already: of a dataset before rows were appended to it, or of more layers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np

from fusionapp.application.ports.embedding_store import (
    EmbeddingStore,
    EmbeddingWriter,
    Header,
    Shard,
    StoredEmbeddings,
)
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.domain.embeddings import Json, fingerprint, fingerprint_prefixes
from fusionapp.domain.errors import CorruptArtifactError

logger = logging.getLogger(__name__)


@attrs.frozen
class EarlierSet:
    """A set that begins with the same texts under the same encoder.

    Attributes:
        key: its name in the store.
        stored: its shards.
        layers: positions among its layers of the ones asked for; empty for all of them.
    """

    key: str
    stored: StoredEmbeddings
    layers: tuple[int, ...]


@attrs.frozen
class ReuseShards:
    """Finds such a set, and copies from it what fits.

    Attributes:
        store: every set is looked at.
    """

    store: EmbeddingStore

    def find(self, header: Header, texts: SpooledSplit) -> EarlierSet | None:
        """The set of most durable rows whose texts are the first ones of these."""
        candidates = [
            EarlierSet(key, stored, layers)
            for key, stored in self._others(header)
            if (layers := taken_layers(stored.header.identity, header.identity)) is not None
        ]
        if not candidates:
            return None
        sizes = sorted({one.stored.header.rows for one in candidates})
        begins = dict(zip(sizes, fingerprint_prefixes(texts.stream(), sizes), strict=True))
        same = [one for one in candidates if one.stored.header.texts_sha256 == begins[one.stored.header.rows]]
        return max(same, key=lambda one: one.stored.status().durable_rows, default=None)

    def copy(self, earlier: EarlierSet, writer: EmbeddingWriter, pending: Sequence[Shard]) -> list[Shard]:
        """Commit the pending shards that the earlier set holds; return the others."""
        left = []
        copied = 0
        for shard in pending:
            found = earlier.stored.shard(shard.index)
            if found is None or found.shard != shard:
                left.append(shard)
                continue
            embeddings = found.embeddings
            if earlier.layers:
                embeddings = np.ascontiguousarray(np.asarray(embeddings)[:, earlier.layers])
            writer.commit(
                shard, found.rows, embeddings, found.truncated, found.quarantined, notes=found.notes
            )
            copied += shard.stop - shard.start
        if copied:
            logger.info("%d rows were copied from %s, which holds them already", copied, earlier.key)
        return left

    def _others(self, header: Header) -> Iterator[tuple[str, StoredEmbeddings]]:
        """Readable sets that are no longer than the job, but for the job's own."""
        for key in self.store.keys():  # noqa: SIM118  # a store is no dict
            try:
                stored = self.store.read(key)
            except CorruptArtifactError:  # `verify` tells; nothing is taken from it
                continue
            if stored is None or stored.header.fingerprint == header.fingerprint:
                continue
            if 0 < stored.header.rows <= header.rows:
                yield key, stored


def taken_layers(found: Mapping[str, Json], wanted: Mapping[str, Json]) -> tuple[int, ...] | None:
    """Positions among one identity's layers of those that another asks for; None where anything else differs.

    Empty where all are wanted as they stand. Layers are pooled and normalised each by itself, so that a layer's
    vector does not depend on the others.
    """
    if fingerprint(found) == fingerprint(wanted):
        return ()
    if "layers" not in found or fingerprint({**found, "layers": 0}) != fingerprint({**wanted, "layers": 0}):
        return None
    places = {layer: place for place, layer in enumerate(found["layers"])}
    if not all(layer in places for layer in wanted["layers"]):
        return None
    return tuple(places[layer] for layer in wanted["layers"])
