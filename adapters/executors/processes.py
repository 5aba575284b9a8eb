"""Encoding in several processes of this machine."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import attrs

from fusionapp.adapters.executors.workers import (
    count_workers,
    cpu_share,
    device_of,
    encode_part,
    limit_threads,
)
from fusionapp.adapters.torch_shared.processes import die_with_parent
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.executor import Executor
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import ResourceError

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
"""Deaths in a row, without a part done in between, after which something is wrong with the work itself."""


@attrs.frozen
class ProcessExecutor(Executor):
    """Worker processes, each with weights of its own; one that dies is replaced, and its part done again.

    Attributes:
        workers: how many; None is one a GPU, or two on a CPU.
    """

    workers: int | None = None

    def encode(
        self,
        encoder: Encoder,
        parts: Iterable[Sequence[str]],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Generator[Encoding]:
        """Hand the parts out, and give the encodings back in order."""
        count = count_workers(self.workers, plan)
        crew = _Crew(encoder, plan, count)
        waiting: deque[_Task] = deque()
        remaining = iter(parts)
        try:
            while True:
                while len(waiting) <= count and (texts := next(remaining, None)) is not None:
                    waiting.append(_Task(texts, crew.submit(texts)))
                if not waiting:
                    return
                encoding = crew.result(waiting)
                texts = waiting.popleft().texts
                if on_batch is not None:
                    on_batch(len(texts), encoding.tokens)
                yield encoding
        finally:
            crew.stop()


@attrs.define(eq=False)
class _Task:
    texts: Sequence[str]
    future: Future[Encoding]


class _Crew:
    """A pool of workers that is put up again when one of them dies, as the pool ends with it."""

    def __init__(self, encoder: Encoder, plan: ExecutionPlan, count: int) -> None:
        self._encoder = encoder
        self._plan = plan
        self._count = count
        self._deaths = 0
        self._pool = self._put_up()

    def submit(self, texts: Sequence[str]) -> Future[Encoding]:
        try:
            return self._pool.submit(_work, texts)
        except BrokenProcessPool as error:  # it is noticed, and mended, when the first task's turn comes
            failed: Future[Encoding] = Future()
            failed.set_exception(error)
            return failed

    def result(self, waiting: Sequence[_Task]) -> Encoding:
        """The first task's encoding; where a worker has died, all tasks that are not done begin anew."""
        while True:
            try:
                encoding = waiting[0].future.result()
            except BrokenProcessPool as error:
                self._deaths += 1
                if self._deaths >= _ATTEMPTS:
                    raise ResourceError(
                        f"executor: a worker process died {self._deaths} times in a row, most likely for want of "
                        'memory; use fewer `extract.workers`, a smaller `batch_tokens`, or executor = "local"'
                    ) from error
                logger.warning("a worker process died; it is replaced, and its shard begun again")
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = self._put_up()
                for task in waiting:
                    if (
                        not task.future.done()
                        or task.future.cancelled()
                        or task.future.exception() is not None
                    ):
                        task.future = self.submit(task.texts)
                continue
            self._deaths = 0
            return encoding

    def stop(self) -> None:
        """End the workers at once: what they are at is done again by whoever resumes."""
        for process in list((self._pool._processes or {}).values()):
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _put_up(self) -> ProcessPoolExecutor:
        context = get_context("spawn")
        numbers: Any = context.SimpleQueue()
        for number in range(self._count):
            numbers.put(number)
        return ProcessPoolExecutor(
            self._count,
            mp_context=context,
            initializer=_begin,
            initargs=(self._encoder, self._plan, cpu_share(self._count), numbers),
        )


_here: tuple[Encoder, ExecutionPlan, str]


def _begin(encoder: Encoder, plan: ExecutionPlan, threads: int, numbers: Any) -> None:
    global _here  # noqa: PLW0603  # a pool's processes have no other place for what they keep
    die_with_parent()
    limit_threads(threads)
    _here = (encoder, plan, device_of(plan, numbers.get()))


def _work(texts: Sequence[str]) -> Encoding:
    encoder, plan, device = _here
    return encode_part(encoder, texts, plan, device)
