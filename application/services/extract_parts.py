"""Embed every part of a dataset, queries and documents each as their encoder was trained to read them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

import attrs

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.extracted_sets import ExtractedSet
from fusionapp.application.services.inventories import (
    INVENTORY,
    add_times,
    carry_times,
    describe_encoder,
    describe_split,
    keep_sets,
    read_earlier,
)
from fusionapp.domain.embeddings import Json

logger = logging.getLogger(__name__)

QUERIES, DOCUMENTS = PARTS = ("queries", "documents")
"""Of a split in retrieval; a split of prompts is one part."""


@attrs.frozen
class PartEncoders:
    """One encoder in its two roles, which differ by what is put before a text.

    Attributes:
        query: reads queries.
        document: reads all else: documents, prompts.
    """

    query: Encoder
    document: Encoder

    @classmethod
    def alike(cls, encoder: Encoder) -> PartEncoders:
        """An encoder that reads every part in the same way."""
        return cls(encoder, encoder)

    def of(self, part: str) -> Encoder:
        """The one that reads ``test.queries``, ``test.documents`` or ``test``."""
        return self.query if part.endswith(f".{QUERIES}") else self.document


@attrs.frozen
class PartsExtraction:
    """What an extraction left behind.

    Attributes:
        sets: by encoder name, one set for each part.
        inventory: the content of ``embeddings.json``, whose splits are the parts.
    """

    sets: Mapping[str, Sequence[ExtractedSet]]
    inventory: Mapping[str, Json]


@attrs.frozen
class ExtractParts:
    """Runs one encoder after the other over the parts.

    Attributes:
        extract: runs one encoder.
        runs: the run directory, which receives ``embeddings.json``.
    """

    extract: ExtractEmbeddings
    runs: RunStore

    def __call__(
        self,
        encoders: Mapping[str, PartEncoders],
        parts: Mapping[str, SpooledSplit],
        origins: Mapping[str, str],
        storage: Mapping[str, Json],
        shard_rows: int,
        dataset: Mapping[str, str],
        kept: Collection[str],
        versions: Mapping[str, str],
    ) -> PartsExtraction:
        """Extract what is missing.

        Args:
            encoders: by name.
            parts: texts by part, such as ``test.queries``, or ``test`` where it holds prompts.
            origins: where each part was read from, for messages.
            storage: the store's adapter and root, kept in the inventory.
            shard_rows: texts in a shard.
            dataset: every part that the dataset has, with the digest of its texts.
            kept: encoders whose sets of other parts, from an earlier extraction, stay in the inventory.
            versions: of the libraries at work, kept in the inventory.
        """
        inventory: dict[str, Json] = {
            "format": 1,
            "partial": True,
            "finished": False,
            "storage": dict(storage),
            "versions": dict(versions),
            "splits": {part: describe_split(texts, origins[part]) for part, texts in parts.items()},
            "encoders": {name: self._describe(one, parts, shard_rows) for name, one in encoders.items()},
        }
        earlier = read_earlier(self.runs)
        keep_sets(inventory, earlier, dataset, kept)
        inventory["partial"] = not inventory["splits"].keys() >= dataset.keys()
        carry_times(inventory, earlier)
        # Written before the first shard, so that `status` can follow an extraction and find a killed one.
        self.runs.write_document(INVENTORY, inventory)
        sets: dict[str, list[ExtractedSet]] = {}
        for name, one in encoders.items():
            sets[name] = []
            for encoder, texts in _jobs(one, parts):
                sets[name] += self.extract(name, encoder, texts, shard_rows)
            add_times(inventory["encoders"][name]["sets"], sets[name])
            self.runs.write_document(INVENTORY, inventory)
        inventory["finished"] = True
        self.runs.write_document(INVENTORY, inventory)
        return PartsExtraction(sets, inventory)

    def _describe(
        self, roles: PartEncoders, parts: Mapping[str, SpooledSplit], shard_rows: int
    ) -> dict[str, Json]:
        for choice in dict.fromkeys((*roles.query.choices, *roles.document.choices)):
            logger.info("%s", choice)
        found = describe_encoder(roles.document, {}, shard_rows, self.extract.store.locate)
        for part, texts in parts.items():
            one = describe_encoder(roles.of(part), {part: texts}, shard_rows, self.extract.store.locate)
            found["sets"] |= one["sets"]
        return {**found, "query_identity": dict(roles.query.identity)}


def _jobs(
    roles: PartEncoders, parts: Mapping[str, SpooledSplit]
) -> list[tuple[Encoder, dict[str, SpooledSplit]]]:
    """Which encoder reads which parts: one run over all where both roles are the same."""
    if dict(roles.query.identity) == dict(roles.document.identity):
        return [(roles.document, dict(parts))]
    queries = {part: texts for part, texts in parts.items() if part.endswith(f".{QUERIES}")}
    documents = {part: texts for part, texts in parts.items() if part not in queries}
    return [(roles.query, queries), (roles.document, documents)]
