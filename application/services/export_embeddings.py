"""Write one encoder's embeddings of one split to a file of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.embedding_file import EmbeddingFile, EmbeddingRows
from fusionapp.application.ports.embedding_store import EmbeddingStore, Quarantined, StoredEmbeddings
from fusionapp.application.ports.spool import Spool, SpooledSplit, in_steps
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError


@attrs.frozen
class ExportEmbeddings:
    """Reads from the store a shard at a time, and writes with an `EmbeddingFile`.

    Attributes:
        store: the embeddings.
        spool: the rows' ids.
    """

    store: EmbeddingStore
    spool: Spool

    def __call__(
        self,
        inventory: Mapping[str, Json],
        encoder: str | None,
        split: str | None,
        file: EmbeddingFile,
        path: str,
        model_name: str,
        more: Mapping[str, Json] | None = None,
    ) -> Sequence[str]:
        """Write `path` and its metadata; return what was written.

        Args:
            inventory: the content of ``embeddings.json``.
            encoder: which encoder; None where there is one alone.
            split: which split; likewise.
            file: the format.
            path: where to.
            model_name: what the experiment calls the encoder's model.
            more: metadata beside what is known here.

        Raises:
            UsageError: no such encoder or split, several to choose from, or they are not extracted yet, or the
                texts were read anew since.
            CorruptArtifactError: the store does not hold what was written there.
        """
        encoder = only(encoder, inventory["encoders"], "encoder")
        described = inventory["encoders"][encoder]
        split = only(split, described["sets"], "split")
        stored = self._read(described["sets"][split]["key"], f"{encoder} {split}")
        spooled = self.spool.read(split)
        if spooled.texts_sha256 != stored.header.texts_sha256:
            # A later run read a changed dataset, and ended before it wrote its inventory.
            raise UsageError(
                f"{encoder} {split}: the dataset was read anew since these embeddings were made, and its "
                "texts are others; run `fusionapp extract` to its end, then export"
            )
        ids = _fingerprint_ids(spooled)
        metadata = {
            **_origin(encoder, model_name, described, split),
            **_described(stored),
            **_told_of_ids(stored, spooled, ids),
            **_speed(described["sets"][split]),
            "versions": inventory.get("versions", {}),
            **(more or {}),
        }
        return file.write(path, _rows(stored, spooled, ids is not None), metadata)

    def _read(self, key: str, name: str) -> StoredEmbeddings:
        stored = self.store.read(key)
        if stored is None or not stored.status().complete:
            raise UsageError(f"{name}: not extracted completely; run `fusionapp extract` first")
        return stored


def only(name: str | None, known: Mapping[str, Json], kind: str) -> str:
    """The name asked for, or the only one there is.

    Raises:
        UsageError: there is no such name, or none was asked for and there are several; says which there are.
    """
    if name is None and len(known) == 1:
        return next(iter(known))
    if name is None:
        raise UsageError(f"several {kind}s are stored: {', '.join(known)}; name one with --{kind}")
    if name not in known:
        raise UsageError(f"{kind} {name!r} is not among {', '.join(known)}")
    return name


def _rows(stored: StoredEmbeddings, spooled: SpooledSplit, named: bool) -> EmbeddingRows:
    def ids(rows: NDArray[np.int64]) -> Sequence[Mapping[str, Json]]:
        if not len(rows):
            return []
        first = int(rows[0])
        found = spooled.ids(first, int(rows[-1]) + 1)
        return [found[row - first] for row in rows.tolist()]

    header = stored.header
    count = stored.status().durable_rows
    return EmbeddingRows(count, header.shape, stored.shards, ids if named else None)


def _fingerprint_ids(spooled: SpooledSplit) -> str | None:
    """A hash of every row's id columns; None where no row has an id but its number."""
    found, named = sha256(), False
    for row, one in enumerate(in_steps(spooled.ids, spooled.rows)):
        named = named or dict(one) != {"row": row}
        found.update(json.dumps(dict(one)).encode() + b"\n")
    return found.hexdigest() if named else None


def _origin(encoder: str, model_name: str, described: Mapping[str, Json], split: str) -> dict[str, Json]:
    return {
        "encoder": encoder,
        "model_name": model_name,
        "embedding_dim": described["dim"],
        "layers": described["layers"],
        "sparse": described["sparse"],
        "split": split,
    }


def _told_of_ids(stored: StoredEmbeddings, spooled: SpooledSplit, ids_sha256: str | None) -> dict[str, Json]:
    named = ids_sha256 is not None
    return {
        "quarantined": [_left_out(one, spooled, named) for one in stored.status().quarantined],
        "ids_sha256": ids_sha256,
    }


def _left_out(one: Quarantined, spooled: SpooledSplit, named: bool) -> dict[str, Json]:
    ids = {"id": dict(spooled.ids(one.row, one.row + 1)[0])} if named else {}
    return {**attrs.asdict(one), **ids}


def _described(stored: StoredEmbeddings) -> dict[str, Json]:
    status, header = stored.status(), stored.header
    return {
        "rows": status.durable_rows,
        "dtype": "float32",
        "truncated": status.truncated,
        "fingerprint": header.fingerprint,
        "identity": dict(header.identity),
        "batch_tokens": header.plan.batch_tokens,
        "plan": attrs.asdict(header.plan),
    }


def _speed(place: Mapping[str, Json]) -> dict[str, Json]:
    """What this run spent on the set; None where nothing of it was encoded here."""
    seconds, encoded = place.get("seconds") or None, place.get("encoded_rows", 0)
    return {
        "seconds": seconds,
        "texts_per_second": encoded / seconds if seconds and encoded else None,
    }
