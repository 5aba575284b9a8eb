"""Encoding a shard: batches within a budget, smaller when memory runs out, float32 when numbers do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.torch_shared.device import free_cached_memory
from fusionapp.domain.batching import token_batches, token_packs
from fusionapp.domain.errors import ResourceError

OnBatch = Callable[[int, int], None]


class Views(Protocol):
    """The forward pass: token ids to (batch, layers, dim) float32."""

    def __call__(self, ids: Sequence[NDArray[np.int32]], skip: int = 0, budget: int | None = None) -> Tensor:
        """Embed a batch, which was cut by that budget."""


class ShardRun:
    """One call's work.

    Attributes:
        vectors: (texts, layers, dim) float32, filled batch by batch; zeros where nothing finite came.
        lengths: (texts,) int64, tokens of each text.
        done: (texts,) bool, True where the vector is finite.
        budget: tokens a batch may hold now; halved when memory runs out, and never raised again.
        padded_tokens: tokens computed, padding included.
        notes: what happened on the way.
    """

    def __init__(
        self,
        views: Views,
        ids: Sequence[NDArray[np.int32]],
        shape: tuple[int, int],
        *,
        skip: int,
        budget: int,
        threads: int = 1,
        packed: bool = False,
    ) -> None:
        self.vectors = np.zeros((len(ids), *shape), dtype=np.float32)
        self.done = np.zeros(len(ids), dtype=bool)
        self.budget = budget
        self.padded_tokens = 0
        self.notes: list[str] = []
        self._views = views
        self._ids = ids
        self.lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        self._skip = skip
        self._threads = threads
        self._packed = packed
        self._one_at_a_time = threads == 1

    def encode(self, rows: NDArray[np.int64], on_batch: OnBatch | None = None) -> None:
        """Encode these rows, longest first.

        Raises:
            ResourceError: one text alone does not fit in memory.
        """
        queue = self._cut(rows)
        while queue:
            done = 0
            with closing(self._compute(queue)) as results:
                for batch, found in zip(queue, results, strict=True):
                    if found is None:
                        break
                    done += 1
                    self._keep(batch, found)
                    if on_batch is not None:
                        on_batch(len(batch), int(self.lengths[batch].sum()))
            queue = self._shrink(queue[done:]) if done < len(queue) else []

    def _cut(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        cut = token_packs if self._packed else token_batches
        return [rows[batch] for batch in cut(self.lengths[rows], self.budget)]

    def _tokens(self, batch: NDArray[np.int64]) -> int:
        """Tokens that a batch computes, padding included."""
        lengths = self.lengths[batch]
        return int(lengths.sum() if self._packed else len(batch) * lengths.max())

    def _compute(self, batches: Sequence[NDArray[np.int64]]) -> Generator[NDArray[np.float32] | None]:
        """Vectors of each batch in turn.

        On a CPU each thread computes batches of its own: a batch is small, and threads that share one wait for
        each other after every operation, for ever where other processes want the cores (measured on two busy
        cores: 63 texts/s by sharing, 380 by not). Fewer batches than threads share what is left.
        """
        # How a batch is computed follows the plan alone; how many at once, what this process may take.
        each = self._threads // max(1, min(self._threads, len(batches)))
        workers = 1 if self._one_at_a_time else max(1, min(torch.get_num_threads() // each, len(batches)))
        with cpu_threads(each):
            if workers == 1:
                yield from map(self._try, batches)
                return
            with ThreadPoolExecutor(workers, "encode", _set_threads, (each,)) as pool:
                yield from pool.map(self._try, batches)

    def _keep(self, batch: NDArray[np.int64], found: NDArray[np.float32]) -> None:
        finite = np.isfinite(found).all(axis=(1, 2))
        self.vectors[batch[finite]] = found[finite]
        self.done[batch] = finite
        self.padded_tokens += self._tokens(batch)

    def _try(self, batch: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """The batch's vectors, None where memory ran out: the error holds on to tensors until it is let go."""
        try:
            vectors = self._views([self._ids[row] for row in batch], self._skip, self.budget)
            return fetch(vectors)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _shrink(self, left: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """Halve the budget so that it splits the first of these batches, which did not fit, and cut them anew."""
        batch = left[0]
        longest = int(self.lengths[batch].max())
        if len(batch) == 1 and self._one_at_a_time:
            raise ResourceError(
                f"memory: a text of {longest} tokens does not fit alone; set a smaller max_length, a smaller "
                'dtype ("bfloat16"), or another device'
            )
        free_cached_memory()
        self._one_at_a_time = True
        before = self.budget
        self.budget = max(longest, min(self.budget, self._tokens(batch)) // 2)
        self.notes.append(f"out of memory at {before} tokens a batch; went on with {self.budget}")
        return self._cut(np.concatenate(left))


def encode_rows(
    run: ShardRun,
    dtype: str,
    in_float32: Callable[[], AbstractContextManager[None]] | None,
    on_batch: OnBatch | None,
) -> None:
    """Encode every row that has tokens, and once more in float32 those that came out with NaN or infinity.

    `in_float32` is None for weights that cannot be widened.
    """
    rows = np.flatnonzero(run.lengths)
    run.encode(rows, on_batch)
    again = rows[~run.done[rows]]
    if len(again) == 0 or dtype == "float32" or in_float32 is None:
        return
    run.notes.append(f"{len(again)} rows were not finite in {dtype} and were computed again in float32")
    try:
        with in_float32():
            run.encode(again)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        run.notes.append("out of memory in float32; rows that were not finite stay failed")


def fetch(vectors: Tensor) -> NDArray[np.float32]:
    """A tensor on the host; a GPU's goes through pinned memory, and other threads run while it is waited for."""
    if not vectors.is_cuda:
        return np.asarray(vectors.numpy())
    host = torch.empty_like(vectors, device="cpu", pin_memory=True)
    host.copy_(vectors, non_blocking=True)
    copied: Any = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    copied.record()
    copied.synchronize()
    return np.asarray(host.numpy())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or on the CPU, where torch raises a bare RuntimeError."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return "can't allocate memory" in text or "not enough memory" in text or "out of memory" in text


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Run torch with so many CPU threads, then with as many as before."""
    before = torch.get_num_threads()
    _set_threads(count)
    try:
        yield
    finally:
        _set_threads(before)


def _set_threads(count: int) -> None:
    torch.set_num_threads(max(1, count))
