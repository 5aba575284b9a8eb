"""Keeping a GPU busy: the next shards are tokenised and launched while one is computed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from fusionapp.adapters.model_files.tokenization import Tokens
from fusionapp.adapters.torch_shared.processes import deaf_to_interrupts, die_with_parent
from fusionapp.domain.embeddings import Encoding

T = TypeVar("T")
R = TypeVar("R")

_SHARDS = 2
"""Shards under way at once: while one waits for its last batch, the other has launched the next."""

_TOKENIZERS = 6
"""Most tokenizer processes; each keeps several cores busy."""


def stream_to_gpu(
    tokenize: Callable[[Sequence[str]], Tokens],
    encode: Callable[[Tokens], Encoding],
    parts: Iterable[Sequence[str]],
) -> Iterator[Encoding]:
    """Each part's encoding, in order.

    Args:
        tokenize: can be pickled; it runs in processes of its own, since building arrays holds Python's lock.
        encode: runs in threads of this process.
        parts: read ahead by a few.
    """
    processes = max(1, min(_TOKENIZERS, (os.cpu_count() or 2) // 2))
    with (
        _pool(
            ProcessPoolExecutor(
                processes,
                mp_context=get_context("spawn"),
                initializer=_begin,
                initargs=(tokenize,),
            )
        ) as tokenizers,
        _pool(ThreadPoolExecutor(_SHARDS, "shard")) as shards,
    ):
        tokens = map_ahead(tokenizers, _tokenize, parts, processes + _SHARDS)
        yield from map_ahead(shards, encode, tokens, _SHARDS)


def map_ahead(pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """`map` in order over a pool, with at most `ahead` items under way."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        with deaf_to_interrupts():  # a pool starts its processes as it needs them
            waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def _pool(pool: Any) -> Iterator[Any]:
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_tokenize_here: Callable[[Sequence[str]], Tokens]


def _begin(tokenize: Callable[[Sequence[str]], Tokens]) -> None:
    global _tokenize_here  # noqa: PLW0603  # a pool's processes have no other place for what they keep
    die_with_parent()
    _tokenize_here = tokenize


def _tokenize(texts: Sequence[str]) -> Tokens:
    return _tokenize_here(texts)
