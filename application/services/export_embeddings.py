"""Write one encoder's embeddings of one split to a file of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from fusionapp.application.ports.embedding_file import EmbeddingFile
from fusionapp.application.ports.embedding_store import EmbeddingStore
from fusionapp.application.ports.spool import Spool
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError


@attrs.frozen
class ExportEmbeddings:
    """Reads from the store, writes with an `EmbeddingFile`.

    Attributes:
        store: the embeddings.
        spool: the rows' ids.
    """

    store: EmbeddingStore
    spool: Spool

    def __call__(
        self,
        inventory: Mapping[str, Json],
        encoder: str,
        split: str,
        file: EmbeddingFile,
        path: str,
        model_name: str,
    ) -> Sequence[str]:
        """Write `path` and its metadata; return what was written.

        Args:
            inventory: the content of ``embeddings.json``.
            encoder: which encoder.
            split: which split.
            file: the format.
            path: where to.
            model_name: what the experiment calls the encoder's model.

        Raises:
            UsageError: no such encoder or split, or they are not extracted yet.
            CorruptArtifactError: the store does not hold what was written there.
        """
        place = _place(inventory, encoder, split)
        stored = self.store.read(place["key"])
        if stored is None or not stored.status().complete:
            raise UsageError(f"{encoder} {split}: not extracted completely; run `fusionapp extract` first")
        rows, status, ids = stored.rows(), stored.status(), self.spool.read(split).ids()
        described = inventory["encoders"][encoder]
        metadata = {
            "encoder": encoder,
            "model_name": model_name,
            "embedding_dim": described["dim"],
            "layers": described["layers"],
            "sparse": described["sparse"],
            "split": split,
            "rows": len(rows),
            "quarantined": [attrs.asdict(one) for one in status.quarantined],
            "truncated": status.truncated,
            "fingerprint": stored.header.fingerprint,
            "identity": dict(stored.header.identity),
            "plan": attrs.asdict(stored.header.plan),
        }
        return file.write(path, stored.load(), [ids[row] for row in rows], metadata)


def _place(inventory: Mapping[str, Json], encoder: str, split: str) -> Mapping[str, Json]:
    encoders = inventory["encoders"]
    if encoder not in encoders:
        raise UsageError(f"encoder {encoder!r} is not among {', '.join(encoders)}")
    sets = encoders[encoder]["sets"]
    if split not in sets:
        raise UsageError(f"split {split!r} is not among {', '.join(sets)}")
    place: Mapping[str, Json] = sets[split]
    return place
