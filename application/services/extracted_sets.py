"""Sets of embeddings: what identifies one, what it took to make it, and how far it has come."""

from __future__ import annotations

import re

import attrs

from fusionapp.application.ports.embedding_store import EmbeddingStore, Header, StoreStatus
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.imported_vectors import SplitVectors
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.domain.embeddings import EmbeddingShape, fingerprint


@attrs.frozen
class Effort:
    """What an extraction took, for one set.

    Attributes:
        seconds: from the first shard to the last.
        encoder_seconds: of these, spent waiting for encodings.
        tokenizer_seconds: spent on tokenising, by whoever did it.
        disk_seconds: spent waiting for shards to become durable.
        rows: rows of the shards made.
        texts: of these, texts that went through the encoder; blank ones and repeats do not.
        tokens: tokens encoded.
        padded_tokens: the same with padding.
        peak_device_bytes: most memory taken on a GPU; 0 elsewhere.
    """

    seconds: float = 0.0
    encoder_seconds: float = 0.0
    tokenizer_seconds: float = 0.0
    disk_seconds: float = 0.0
    rows: int = 0
    texts: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    peak_device_bytes: int = 0

    def __add__(self, other: Effort) -> Effort:
        """Both together, one after the other."""
        names = [field.name for field in attrs.fields(Effort)]
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Effort(**sums | {"peak_device_bytes": max(self.peak_device_bytes, other.peak_device_bytes)})

    @property
    def bottleneck(self) -> str:
        """What took longest: "tokenizer", "device" or "disk"."""
        shares = {
            "device": self.encoder_seconds - min(self.tokenizer_seconds, self.encoder_seconds),
            "tokenizer": min(self.tokenizer_seconds, self.encoder_seconds),
            "disk": self.disk_seconds,
        }
        return max(shares, key=shares.__getitem__)


@attrs.frozen
class ExtractedSet:
    """One encoder's embeddings of one split.

    Attributes:
        split: which split.
        key: the set's name in the store.
        directory: where it stands.
        shape: of one text's embedding.
        status: how far it has come.
        effort: what was spent on it now; nothing where everything was there.
    """

    split: str
    key: str
    directory: str
    shape: EmbeddingShape
    status: StoreStatus
    effort: Effort = Effort()


def job_header(encoder: Encoder | SplitVectors, texts: SpooledSplit, shard_rows: int) -> Header:
    """What a set of these texts by this encoder is, before anything is encoded."""
    identity = dict(encoder.identity)
    return Header(
        fingerprint=fingerprint({"encoder": identity, "texts": texts.texts_sha256}),
        identity=identity,
        texts_sha256=texts.texts_sha256,
        rows=texts.rows,
        shard_rows=shard_rows,
        shape=encoder.shape,
        plan=encoder.plan(texts.rows),
    )


def set_key(header: Header) -> str:
    """The set's name, ``huggingface-3f2a9c...``: what a model is called does not change a vector."""
    slug = re.sub(r"[^a-z0-9]+", "-", str(header.identity.get("adapter")).lower()).strip("-")
    return f"{slug or 'encoder'}-{header.fingerprint[:16]}"


def written_set(store: EmbeddingStore, split: str, key: str, effort: Effort) -> ExtractedSet:
    """A set that was written just now, or found whole."""
    stored = store.read(key)
    assert stored is not None, "a set that was written can be read"
    return ExtractedSet(
        split=split,
        key=key,
        directory=store.locate(key),
        shape=stored.header.shape,
        status=stored.status(),
        effort=effort,
    )
