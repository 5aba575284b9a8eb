"""Embed every split of a dataset with every encoder, and write down where everything stands."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import attrs

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.imported_vectors import VectorsBySplit
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.extracted_sets import ExtractedSet
from fusionapp.application.services.import_embeddings import ImportEmbeddings
from fusionapp.application.services.inventories import (
    INVENTORY,
    add_times,
    carry_times,
    describe_encoder,
    describe_split,
    read_earlier,
)
from fusionapp.application.services.read_splits import OnEmpty, ReadSplits
from fusionapp.domain.embeddings import Json
from fusionapp.domain.splitting import SharedTexts, duplicate_rows

logger = logging.getLogger(__name__)


@attrs.frozen
class Extraction:
    """What an extraction left behind.

    Attributes:
        sets: by encoder name, one set per split.
        rows: texts of the dataset, all splits together.
        partial: True where only some splits or rows were asked for.
        shared: texts that stand in more than one split.
        inventory: the content of ``embeddings.json``.
    """

    sets: Mapping[str, Sequence[ExtractedSet]]
    rows: int
    partial: bool
    shared: SharedTexts
    inventory: Mapping[str, Json]


@attrs.frozen
class ExtractDataset:
    """Reads the dataset once, then runs one encoder after the other over it.

    Attributes:
        read: spools the dataset.
        extract: runs one encoder.
        runs: the run directory, which receives ``embeddings.json``.
    """

    read: ReadSplits
    extract: ExtractEmbeddings
    runs: RunStore

    def __call__(
        self,
        encoders: Mapping[str, Encoder],
        storage: Mapping[str, Json],
        shard_rows: int,
        splits: Sequence[str] = (),
        limit: int | None = None,
        on_empty: OnEmpty = "error",
        versions: Mapping[str, str] | None = None,
    ) -> Extraction:
        """Extract what is missing.

        Args:
            encoders: by name, in fusion order.
            storage: the store's adapter and root, kept in the inventory.
            shard_rows: texts in a shard.
            splits: only these; empty for all.
            limit: only the first rows of each split.
            on_empty: what a blank text is.
            versions: of the libraries at work, kept in the inventory.
        """
        spooled = self.read(splits, limit, on_empty)
        for name, encoder in encoders.items():
            for choice in encoder.choices:
                logger.info("%s: %s", name, choice)
        partial = limit is not None or len(spooled) < len(self.read.source.splits())
        inventory: dict[str, Json] = {
            "format": 1,
            "partial": partial,
            "finished": False,
            "storage": dict(storage),
            "versions": dict(versions or {}),
            "splits": {
                split: describe_split(texts, self.read.source.describe(split))
                for split, texts in spooled.items()
            },
            "encoders": {
                name: describe_encoder(encoder, spooled, shard_rows, self.extract.store.locate)
                for name, encoder in encoders.items()
            },
        }
        carry_times(inventory, read_earlier(self.runs))
        # Written before the first shard, so that `status` can follow an extraction and find a killed one.
        self.runs.write_document(INVENTORY, inventory)
        sets = {}
        for name, encoder in encoders.items():
            sets[name] = self._fill(name, encoder, spooled, shard_rows)
            add_times(inventory["encoders"][name]["sets"], sets[name])
            self.runs.write_document(INVENTORY, inventory)
        inventory["finished"] = True
        self.runs.write_document(INVENTORY, inventory)
        return Extraction(
            sets=sets,
            rows=sum(texts.rows for texts in spooled.values()),
            partial=partial,
            shared=duplicate_rows({split: texts.stream() for split, texts in spooled.items()}),
            inventory=inventory,
        )

    def _fill(
        self, name: str, encoder: Encoder, spooled: Mapping[str, SpooledSplit], shard_rows: int
    ) -> Sequence[ExtractedSet]:
        if isinstance(encoder, VectorsBySplit):
            take = ImportEmbeddings(self.extract.store, self.extract.progress)
            return take(name, encoder, spooled, shard_rows)
        return self.extract(name, encoder, spooled, shard_rows)
