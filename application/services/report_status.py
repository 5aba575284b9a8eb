"""Say how far an extraction has come, counting durable rows only."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from fusionapp.application.ports.embedding_store import EmbeddingStore, Quarantined, StoreStatus
from fusionapp.domain.embeddings import Json


@attrs.frozen
class EncoderStatus:
    """One encoder over all splits.

    Attributes:
        rows: texts of the splits that it is to embed.
        durable_rows: rows on disk and recorded.
        quarantined: rows left out, by split.
        truncated: durable texts that were cut to the encoder's max length.
        complete: every row of every split is durable or quarantined.
        directories: where each split's set stands.
        dim: numbers in one layer's embedding.
        layers: how many layers a text has.
        sparse: whether the embedding is sparse.
    """

    rows: int
    durable_rows: int
    quarantined: Mapping[str, tuple[Quarantined, ...]]
    truncated: int
    complete: bool
    directories: Mapping[str, str]
    dim: int
    layers: int
    sparse: bool


@attrs.frozen
class ExtractionStatus:
    """Every encoder of a run.

    Attributes:
        encoders: by name.
        rows: texts of the dataset.
        complete: every encoder is complete, over the whole dataset.
    """

    encoders: Mapping[str, EncoderStatus]
    rows: int
    complete: bool


@attrs.frozen
class ReportStatus:
    """Reads a run's inventory against its store.

    Attributes:
        store: the embeddings.
    """

    store: EmbeddingStore

    def __call__(self, inventory: Mapping[str, Json]) -> ExtractionStatus:
        """The state of the run that an inventory (``embeddings.json``) describes.

        Raises:
            CorruptArtifactError: a manifest was changed.
        """
        splits = inventory["splits"]
        encoders = {
            name: self._encoder(encoder, {split: splits[split]["rows"] for split in encoder["sets"]})
            for name, encoder in inventory["encoders"].items()
        }
        return ExtractionStatus(
            encoders=encoders,
            rows=sum(place["rows"] for place in splits.values()),
            complete=not inventory["partial"] and all(one.complete for one in encoders.values()),
        )

    def _encoder(self, encoder: Mapping[str, Json], rows: Mapping[str, int]) -> EncoderStatus:
        found = {split: self._set(place["key"], rows[split]) for split, place in encoder["sets"].items()}
        return EncoderStatus(
            rows=sum(rows.values()),
            durable_rows=sum(status.durable_rows for status in found.values()),
            quarantined={split: status.quarantined for split, status in found.items() if status.quarantined},
            truncated=sum(status.truncated for status in found.values()),
            complete=all(status.complete for status in found.values()),
            directories={split: self.store.locate(place["key"]) for split, place in encoder["sets"].items()},
            dim=encoder["dim"],
            layers=encoder["layers"],
            sparse=encoder["sparse"],
        )

    def _set(self, key: str, rows: int) -> StoreStatus:
        stored = self.store.read(key)
        if stored is None:
            return StoreStatus(rows, 0, (), 0, complete=False)
        return stored.status()
