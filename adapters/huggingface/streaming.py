"""Keeping a GPU busy: the next shards are tokenised and launched while one is computed."""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.util import Finalize
from queue import Empty
from typing import TypeVar

from fusionapp.adapters.model_files.tokenization import Tokens
from fusionapp.adapters.torch_shared.processes import deaf_to_interrupts, die_with_parent
from fusionapp.domain.embeddings import Encoding

T = TypeVar("T")
R = TypeVar("R")
P = TypeVar("P", bound=Executor)
Tokenize = Callable[[Sequence[str]], Tokens]

_SHARDS = 2
"""Shards under way at once: while one waits for its last batch, the other has launched the next."""

_TOKENIZERS = 6
"""Most tokenizer processes; each keeps several cores busy."""

_FEW = 3
"""Parts for which no process is worth its start."""

_PATIENCE = 60.0
"""Seconds in which a tokenizer, of some megabytes at most, reaches its process."""

_MOMENT = 0.2
"""Seconds in which the next tokenizer that no process took comes out of the queue."""


def stream_to_gpu(
    tokenize: Tokenize,
    encode: Callable[[Tokens], Encoding],
    parts: Iterable[Sequence[str]],
) -> Iterator[Encoding]:
    """Each part's encoding, in order.

    Args:
        tokenize: runs in processes of its own, since building arrays holds Python's lock, and in threads until
            these have started. One that cannot be pickled (it has parts written in Python) stays in threads.
        encode: runs in threads of this process.
        parts: read ahead by a few.
    """
    processes = max(1, min(_TOKENIZERS, (os.cpu_count() or 2) // 2))
    with _Tokenizers(tokenize, processes) as tokenizers, _pool(ThreadPoolExecutor(_SHARDS)) as shards:
        tokens = map_ahead(tokenizers.submit, parts, processes + _SHARDS)
        yield from map_ahead(lambda part: shards.submit(encode, part), tokens, _SHARDS)


def map_ahead(submit: Callable[[T], Future[R]], items: Iterable[T], ahead: int) -> Iterator[R]:
    """What becomes of each item, in order, with at most `ahead` items under way."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Tokenizers:
    """Threads that tokenise until a process is ready to, which takes seconds where there are many cores."""

    def __init__(self, tokenize: Tokenize, processes: int) -> None:
        self._tokenize = tokenize
        self._count = processes
        self._pools = ExitStack()
        self._threads = self._pools.enter_context(_pool(ThreadPoolExecutor(_SHARDS)))
        self._processes: ProcessPoolExecutor | None = None
        self._sent: Queue[Tokenize] | None = None
        self._starting: Sequence[Future[None]] = ()
        self._parts = 0

    def submit(self, texts: Sequence[str]) -> Future[Tokens]:
        """Tokenise these in time."""
        self._parts += 1
        if self._parts == _FEW + 1:
            self._start()
        if self._processes is None or not any(map(_succeeded, self._starting)):
            return self._threads.submit(self._tokenize, texts)
        return self._processes.submit(_tokenize, texts)

    def _start(self) -> None:
        """Start the processes, none of which has to have read the tokenizer before the next can start."""
        try:
            pickle.dumps(self._tokenize)  # can it be sent? the queue would only say so in a thread of its own
        except Exception:  # noqa: BLE001  # `tokenizers` raises nothing narrower
            return
        context = get_context("spawn")
        self._sent = context.Queue()
        self._sent.cancel_join_thread()  # nobody is to wait for a process that never read its own
        for _ in range(self._count):
            self._sent.put(self._tokenize)
        pool = ProcessPoolExecutor(self._count, context, initializer=_begin, initargs=(self._sent,))
        self._processes = self._pools.enter_context(_pool(pool))
        with deaf_to_interrupts():
            self._starting = [pool.submit(_started) for _ in range(self._count)]

    def __enter__(self) -> _Tokenizers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pools.close()
        if self._sent is not None and not all(map(_succeeded, self._starting)):
            # What no process took is taken here, or the queue's thread would wait for ever to hand it over.
            with suppress(Empty):
                while True:
                    self._sent.get(timeout=_MOMENT)


def _succeeded(start: Future[None]) -> bool:
    """Whether a process has started; one may fail to, where a script is read from standard input, say."""
    return start.done() and start.exception() is None


@contextmanager
def _pool(pool: P) -> Iterator[P]:
    """A pool that is not left to work off what nobody waits for."""
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_tokenize_here: Tokenize


def _begin(sent: Queue[Tokenize]) -> None:
    global _tokenize_here  # noqa: PLW0603  # a pool's processes have no other place for what they keep
    die_with_parent()
    Finalize(None, os._exit, args=(0,), exitpriority=100)  # ten times as fast as to take everything apart
    _tokenize_here = sent.get(timeout=_PATIENCE)


def _started() -> None:
    """What a process is started for."""


def _tokenize(texts: Sequence[str]) -> Tokens:
    return _tokenize_here(texts)
