"""Indexes that FAISS builds: flat (exact), a graph, and inverted lists of product codes; by inner product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.faiss_index.library import import_faiss, on_gpu, threads
from fusionapp.adapters.faiss_index.opened import OpenFaissIndex
from fusionapp.adapters.faiss_index.settings import Kind, Wishes, choose_hnsw, choose_ivfpq
from fusionapp.adapters.index_files.matrix import write_matrix
from fusionapp.adapters.index_files.vectors import checked_parts
from fusionapp.adapters.index_files.whole import reading, whole_file
from fusionapp.application.ports.vector_index import OpenIndex, VectorIndex
from fusionapp.domain.embeddings import Json

_BLOCK_BYTES = 32 << 20


@attrs.frozen
class FaissIndex(VectorIndex):
    """One kind of index.

    Attributes:
        kind: flat is exact; hnsw is fast and as large as the vectors; ivfpq is small and loses recall.
        wishes: parameters that are not to be chosen from the vectors.
        seed: of the training sample and of k-means.
        threads: FAISS may use; None: as many as it likes. A graph built by several threads differs from run to
            run, by one it has the same bytes every time.
    """

    kind: Kind = "flat"
    wishes: Wishes = attrs.field(factory=Wishes)
    seed: int = 0
    threads: int | None = None

    def build(self, vectors: Iterable[NDArray[np.float32]], path: str) -> Mapping[str, Json]:
        """Add the vectors as they come; ivfpq keeps them on disk meanwhile, to train on a sample of all."""
        faiss = import_faiss()
        with whole_file(path) as place, threads(faiss, self.threads):
            if self.kind == "ivfpq":
                index, settings = self._ivfpq(faiss, vectors, place)
            else:
                index, settings = self._added(faiss, vectors)
            faiss.write_index(index, str(place))
        return {"kind": self.kind, "rows": index.ntotal, "dim": index.d, "settings": settings}

    def open(self, path: str) -> OpenIndex:
        """Read the index into memory; flat and ivfpq are copied to the GPU where there is one."""
        faiss = import_faiss()
        with reading(path, self.kind):
            index = faiss.read_index(path)
            expected = {"flat": faiss.IndexFlat, "hnsw": faiss.IndexHNSWFlat, "ivfpq": faiss.IndexIVFPQ}[
                self.kind
            ]
            if not isinstance(index, expected) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
                raise ValueError(f"it is a {type(index).__name__} of metric {index.metric_type}")
            return OpenFaissIndex(faiss, index, None if self.kind == "hnsw" else on_gpu(faiss, index))

    def _added(self, faiss: Any, vectors: Iterable[NDArray[np.float32]]) -> tuple[Any, dict[str, Json]]:
        index: Any = None
        settings: dict[str, Json] = {}
        for part in checked_parts(vectors):
            if index is None:
                index, settings = self._empty(faiss, part.shape[1])
            index.add(part)
        return index, settings

    def _empty(self, faiss: Any, dim: int) -> tuple[Any, dict[str, Json]]:
        if self.kind == "flat":
            return faiss.IndexFlatIP(dim), {}
        chosen = choose_hnsw(self.wishes)
        index = faiss.IndexHNSWFlat(dim, chosen.links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = chosen.ef_construction, chosen.ef_search
        return index, attrs.asdict(chosen)

    def _ivfpq(
        self, faiss: Any, vectors: Iterable[NDArray[np.float32]], place: Path
    ) -> tuple[Any, dict[str, Json]]:
        scratch = Path(f"{place}.npy")
        try:
            matrix = write_matrix(vectors, scratch)
            chosen = choose_ivfpq(self.wishes, matrix.rows, matrix.dim)
            layout = f"IVF{chosen.nlist},PQ{chosen.parts}x{chosen.nbits}"
            index = faiss.index_factory(matrix.dim, layout, faiss.METRIC_INNER_PRODUCT)
            index.nprobe = chosen.nprobe
            index.cp.seed = index.pq.cp.seed = self.seed
            faster = on_gpu(faiss, index)
            worker = index if faster is None else faster
            worker.train(matrix.sample(chosen.training_rows, self.seed))
            for _, block in matrix.blocks(_BLOCK_BYTES):
                worker.add(np.ascontiguousarray(block))
            if faster is not None:
                index = faiss.index_gpu_to_cpu(faster)
                index.nprobe = chosen.nprobe
        finally:
            scratch.unlink(missing_ok=True)
        return index, {**attrs.asdict(chosen), "seed": self.seed}
