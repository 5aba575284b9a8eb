"""Ways from texts to embeddings that `extraction_cpu` and `gpu_extraction` compare.

Each way loads its weights before it is timed. This project's goes all the way to durable files; the rivals end
with an array in memory.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from silence import Silence

from fusionapp.adapters.executors.local import LocalExecutor
from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.application.ports.dataset_source import DatasetSource
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.spool import SpooledSplit
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.extracted_sets import ExtractedSet
from fusionapp.domain.embeddings import Json, fingerprint_texts
from fusionapp.domain.examples import Example

BATCHES = (8, 16, 32, 64, 128, 256)
SHARD_ROWS = 2048


class Way(Protocol):
    """One way to embed texts."""

    def run(self, texts: Sequence[str]) -> None:
        """Embed them; this is what is timed."""

    def vectors(self) -> NDArray[np.float32]:
        """(texts, dim) of the last run."""


class WarmEncoder(HuggingFaceEncoder):
    """One whose weights stay loaded between runs, as the rivals' do; `unload` frees them."""

    def close(self) -> None:
        """Keep them."""

    def unload(self) -> None:
        super().close()


class ListSource(DatasetSource):
    """Texts in memory, unlabelled."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def splits(self) -> Sequence[str]:
        return ["train"]

    def describe(self, split: str) -> str:
        return "a list"

    def read(self, split: str) -> Iterator[Example]:
        return (Example(text, None, {"row": row}) for row, text in enumerate(self._texts))


class ListSplit(SpooledSplit):
    """Texts in memory in the place of the spool, which needs pyarrow."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    @property
    def rows(self) -> int:
        return len(self._texts)

    @property
    def texts_sha256(self) -> str:
        return fingerprint_texts(self._texts)

    def texts(self, start: int, stop: int) -> list[str]:
        return list(self._texts[start:stop])

    def labels(self, start: int = 0, stop: int | None = None) -> list[str | None]:
        return [None] * len(self._texts[start:stop])

    def ids(self, start: int = 0, stop: int | None = None) -> Sequence[Mapping[str, Json]]:
        return [{}] * len(self._texts[start:stop])


class FilesOut:
    """This project, from texts to files, by the local executor and the npy store."""

    def __init__(
        self,
        encoder: WarmEncoder,
        directory: Path,
        *,
        spooled: bool,
        progress: Progress | None = None,
    ) -> None:
        """With `spooled`, the texts go through the spool and `embeddings.json` is written, too."""
        self._encoder = encoder
        self._directory = directory
        self._spooled = spooled
        self._progress: Any = progress or Silence()
        self._store: FileEmbeddingStore
        self.found: ExtractedSet

    def run(self, texts: Sequence[str]) -> None:
        self._store = FileEmbeddingStore(self._directory / "embeddings", "npy")
        extract = ExtractEmbeddings(self._store, LocalExecutor(), self._progress)
        if not self._spooled:
            [self.found] = extract("", self._encoder, {"train": ListSplit(texts)}, SHARD_ROWS)
            return
        from fusionapp.adapters.filesystem.run_directory import RunDirectory  # noqa: PLC0415
        from fusionapp.adapters.filesystem.spool import ArrowSpool  # noqa: PLC0415
        from fusionapp.application.services.extract_dataset import ExtractDataset  # noqa: PLC0415
        from fusionapp.application.services.read_splits import ReadSplits  # noqa: PLC0415

        read = ReadSplits(ListSource(texts), ArrowSpool(self._directory / "spool"), "text")
        service = ExtractDataset(read, extract, RunDirectory(self._directory / "run"))
        [self.found] = service({"": self._encoder}, {"adapter": "npy"}, SHARD_ROWS).sets[""]

    def vectors(self) -> NDArray[np.float32]:
        stored = self._store.read(self.found.key)
        assert stored is not None
        vectors = np.array(stored.load())[:, 0]
        shutil.rmtree(self._directory)  # or the next run would find its work done
        return vectors


class SentenceTransformers:
    """`SentenceTransformer(directory).encode(texts)`; dtype and batch size None leave its defaults."""

    def __init__(
        self, directory: Path, device: str, dtype: str | None = None, batch: int | None = None
    ) -> None:
        import sentence_transformers  # noqa: PLC0415

        build: Any = sentence_transformers.SentenceTransformer
        chosen = {} if dtype is None else {"model_kwargs": {"dtype": getattr(torch, dtype)}}
        self._model = build(str(directory), device=device, **chosen)
        self.dtype = next(self._model.parameters()).dtype
        self.batch = batch
        self._vectors: NDArray[np.float32]

    def run(self, texts: Sequence[str]) -> None:
        size = {} if self.batch is None else {"batch_size": self.batch}
        self._vectors = self._model.encode(list(texts), show_progress_bar=False, **size)

    def vectors(self) -> NDArray[np.float32]:
        return np.asarray(self._vectors, dtype=np.float32)


@attrs.frozen
class Timing:
    """Rounds of several ways over the same texts.

    Attributes:
        seconds: of each round, by way.
        vectors: of the last round, by way.
    """

    seconds: Mapping[str, Sequence[float]]
    vectors: Mapping[str, NDArray[np.float32]]

    def ratio(self, way: str, to: str) -> float:
        """How many times as long `way` takes as `to`: the median over rounds, so that a slow minute hits both."""
        return median(a / b for a, b in zip(self.seconds[way], self.seconds[to], strict=True))


def alternate(ways: Mapping[str, Way], texts: Sequence[str], rounds: int) -> Timing:
    """Time every way in every round, in an order that is turned round from one round to the next."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    vectors = {}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            gc.collect()
            start = perf_counter()
            ways[name].run(texts)
            seconds[name].append(perf_counter() - start)
            vectors[name] = ways[name].vectors()
            print(f"round {number + 1}: {name} {seconds[name][-1]:.2f} s", flush=True)
    return Timing(seconds, vectors)


def best_batch(run: Callable[[int], None]) -> int:
    """The fastest batch size, tried from the smallest upwards until two in turn were slower than the best."""
    found: dict[int, float] = {}
    run(BATCHES[0])
    for size in BATCHES:
        start = perf_counter()
        run(size)
        found[size] = perf_counter() - start
        if min(found, key=found.__getitem__) in list(found)[:-2]:
            break
    return min(found, key=found.__getitem__)


def smallest_cosine(found: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Of vectors of the same texts, (texts, dim) each."""
    a, b = found.astype(np.float64), reference.astype(np.float64)
    return float(((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
