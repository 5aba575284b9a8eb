"""Build an index over a run's stored document embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.embedding_store import EmbeddingStore, StoredEmbeddings
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.vector_index import VectorIndex
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError, UsageError

INDEX = "index"
DOCUMENT = "index/index.json"
FILE = "index/vectors.index"


@attrs.frozen
class BuildIndex:
    """Streams embeddings from the store into an index, a shard at a time.

    Attributes:
        store: the embeddings.
        indexes: by kind.
        runs: the run directory, which receives ``index/``.
    """

    store: EmbeddingStore
    indexes: Mapping[str, VectorIndex]
    runs: RunStore

    def __call__(
        self, kind: str, key: str, encoder: str, split: str, similarity: str = "cosine"
    ) -> Mapping[str, Json]:
        """Build, or keep an index that is there and is the same, and return the content of ``index/index.json``.

        Args:
            kind: which index.
            key: of the stored set of document embeddings.
            encoder: the encoder's name, for those who search.
            split: the spooled documents, whose rows the set numbers.
            similarity: "cosine" scales vectors to length 1; "dot" leaves them.

        Raises:
            UsageError: there is no such kind or similarity, the set is missing, incomplete, sparse or of several
                layers, or the index cannot be built of it.
            ResourceError: memory or disk ran out.
        """
        stored = self._stored(kind, key, similarity)
        wanted = {"kind": kind, "key": key, "encoder": encoder, "split": split, "similarity": similarity}
        earlier = self.runs.read_document(DOCUMENT)
        if (
            isinstance(earlier, dict)
            and all(earlier.get(name) == value for name, value in wanted.items())
            and self._stands(earlier.get("sha256"))
        ):
            return dict(earlier)
        with self.runs.writing(INDEX):
            built = self.indexes[kind].build(_vectors(stored, similarity == "cosine"), self.runs.path(FILE))
            document = {
                **built,
                **wanted,
                "sha256": self.runs.hash_file(FILE),
                "identity": dict(stored.header.identity),
                "left_out": [one.row for one in stored.status().quarantined],
            }
            self.runs.write_document(DOCUMENT, document)
        return document

    def _stands(self, sha256: Json) -> bool:
        try:
            return bool(self.runs.hash_file(FILE) == sha256)
        except CorruptArtifactError:  # it is gone
            return False

    def _stored(self, kind: str, key: str, similarity: str) -> StoredEmbeddings:
        if kind not in self.indexes:
            raise UsageError(f"index: kind {kind!r} is not among {', '.join(self.indexes)}")
        if similarity not in ("cosine", "dot"):
            raise UsageError(f"index: similarity {similarity!r} is neither cosine nor dot")
        stored = self.store.read(key)
        if stored is None or not stored.status().complete:
            raise UsageError(
                f"{self.store.locate(key)}: not extracted completely; run `fusionapp extract` first"
            )
        shape = stored.header.shape
        if shape.sparse or shape.layers != 1:
            raise UsageError(
                f"index: {key} holds {'sparse vectors' if shape.sparse else f'{shape.layers} layers a text'}; "
                "an index takes an encoder with one dense vector a text"
            )
        return stored


def to_unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (rows, dim) scaled to length 1, zeros left; their inner products are cosines."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def _vectors(stored: StoredEmbeddings, unit: bool) -> Iterator[NDArray[np.float32]]:
    for _, embeddings in stored.shards():
        vectors = np.asarray(embeddings, dtype=np.float32)[:, 0]
        yield to_unit(vectors) if unit else vectors
