"""A graph built by usearch (Malkov and Yashunin 2018), of float32, bfloat16 or int8 numbers; by inner product."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.index_files.matrix import write_matrix
from fusionapp.adapters.index_files.vectors import checked_parts, checked_queries
from fusionapp.adapters.index_files.whole import reading, whole_file
from fusionapp.application.ports.vector_index import Hits, OpenIndex, VectorIndex
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.nearest import hit_keys, ranked

_BLOCK_BYTES = 32 << 20
_MAGIC = b"fusionapp-usearch"
_LONGEST = 1 << 12


@attrs.frozen
class UsearchIndex(VectorIndex):
    """One kind of graph.

    Attributes:
        dtype: of the numbers kept. int8 is scaled by the vectors' largest number: usearch's cast loses lengths.
        connectivity: neighbours of a node (M).
        expansion_add: candidates looked at when a node is added.
        expansion_search: candidates looked at by a search; k where that is more.
        threads: usearch may use; None: all. A graph built by one has the same bytes every time.
    """

    dtype: Literal["f32", "bf16", "i8"] = "f32"
    connectivity: int = 32
    expansion_add: int = 200
    expansion_search: int = 128
    threads: int | None = None

    def build(self, vectors: Iterable[NDArray[np.float32]], path: str) -> Mapping[str, Json]:
        """Add the vectors as they come; int8 keeps them on disk meanwhile, to find their scale."""
        usearch = import_usearch()
        settings = {
            name: getattr(self, name)
            for name in ("dtype", "connectivity", "expansion_add", "expansion_search")
        }
        with whole_file(path) as place:
            index, rows = None, 0
            scale, parts = self._scaled(vectors, Path(f"{place}.npy"))
            for part in parts:
                if index is None:
                    index = usearch.Index(ndim=part.shape[1], metric="ip", multi=False, **settings)
                index.add(np.arange(rows, rows + len(part), dtype=np.uint64), part, threads=self.threads or 0)
                rows += len(part)
            assert index is not None, "no vectors were refused"
            index.save(str(place))
            _append(place, {**settings, "scale": scale})
        return {"kind": "usearch", "rows": rows, "dim": index.ndim, "settings": settings}

    def open(self, path: str) -> OpenIndex:
        """Map the file; nothing is read before it is searched."""
        usearch = import_usearch()
        with reading(path, "usearch"):
            settings = _appended(Path(path))
            index = usearch.Index.restore(path, view=True)
            if index is None:
                raise ValueError("it holds no graph")
            index.expansion_search = settings["expansion_search"]
            return OpenUsearchIndex(index, float(settings["scale"]), settings["dtype"] == "i8")

    def _scaled(
        self, vectors: Iterable[NDArray[np.float32]], scratch: Path
    ) -> tuple[float, Iterator[NDArray[Any]]]:
        if self.dtype != "i8":
            return 1.0, checked_parts(vectors)
        largest = 0.0

        def watched() -> Iterator[NDArray[np.float32]]:
            nonlocal largest
            for part in checked_parts(vectors):
                largest = max(largest, float(np.abs(part).max()))
                yield part

        try:
            matrix = write_matrix(watched(), scratch)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
        scale = largest / 127 or 1.0

        def rounded() -> Iterator[NDArray[np.int8]]:
            try:
                for _, block in matrix.blocks(_BLOCK_BYTES):
                    yield _round(block / np.float32(scale))
            finally:
                scratch.unlink(missing_ok=True)

        return scale, rounded()


@attrs.frozen(eq=False)
class OpenUsearchIndex(OpenIndex):
    """A mapped graph.

    Attributes:
        index: usearch's.
        scale: what an int8 step of a vector stands for; 1 for other numbers.
        rounded: whether numbers are int8.
    """

    index: Any = attrs.field(repr=False)
    scale: float
    rounded: bool

    @property
    def rows(self) -> int:
        """How many vectors it holds."""
        return len(self.index)

    @property
    def dim(self) -> int:
        """Their length."""
        return int(self.index.ndim)

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """Follow the graph; a query that it leads to fewer hits than there are is compared with every vector."""
        checked: NDArray[Any] = checked_queries(queries, self.dim, k)
        unit = np.ones((len(checked), 1), dtype=np.float32)
        if self.rounded:
            largest = np.abs(checked).max(axis=1, keepdims=True, initial=0.0)
            step = np.where(largest > 0, largest / np.float32(127), np.float32(1))
            checked, unit = _round(np.divide(checked, step, dtype=np.float32)), step * np.float32(self.scale)
        rows, scores = self._ask(checked, min(k, self.rows))
        return Hits(*ranked(hit_keys(rows, scores * unit), k))

    def _ask(self, queries: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if not len(queries):
            return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
        rows, scores, counts = self._matches(queries, k, exact=False)
        short = np.flatnonzero(counts < k)
        if len(short):
            rows[short], scores[short], _ = self._matches(queries[short], k, exact=True)
        return rows, scores

    def _matches(
        self, queries: NDArray[Any], k: int, exact: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        found = self.index.search(queries, k, exact=exact)
        shape = (len(queries), k)
        rows = np.array(found.keys).reshape(shape).astype(np.int64)
        scores = np.float32(1.0) - np.array(found.distances, dtype=np.float32).reshape(shape)
        counts = np.atleast_1d(np.array(getattr(found, "counts", np.full(len(queries), len(found.keys)))))
        missing = np.arange(k) >= counts[:, None]
        rows[missing] = -1
        return rows, np.where(missing, np.float32(0.0), scores), counts


def import_usearch() -> Any:
    """The module with the index.

    Raises:
        UsageError: it is not installed.
    """
    try:
        from usearch import index
    except ImportError as error:
        raise UsageError(
            "index: the kind usearch needs its library: pip install 'fusionapp[retrieve]'; "
            "the kind numpy needs nothing"
        ) from error
    return index


def _round(numbers: NDArray[np.float32]) -> NDArray[np.int8]:
    return np.clip(np.rint(numbers), -127, 127).astype(np.int8)


def _append(path: Path, settings: Mapping[str, Json]) -> None:
    """Put what usearch's format has no place for behind its end, where its reader does not look."""
    text = json.dumps(dict(settings)).encode()
    with path.open("ab") as file:
        file.write(text + len(text).to_bytes(8, "little") + _MAGIC)


def _appended(path: Path) -> dict[str, Json]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LONGEST))
        tail = file.read()
    if not tail.endswith(_MAGIC):
        raise ValueError("its end is missing")
    body = tail[: -len(_MAGIC)]
    length = int.from_bytes(body[-8:], "little")
    settings = json.loads(body[-8 - length : -8])
    if not isinstance(settings, dict):
        raise ValueError("its end holds no settings")
    return settings
