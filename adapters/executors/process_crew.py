"""Worker processes of this machine, each with one part at hand."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pickle import PicklingError
from typing import Any

import attrs

from fusionapp.adapters.executors.crews import Crew
from fusionapp.adapters.executors.workers import ATTEMPTS, Answer, Worker, cpu_share, log_level
from fusionapp.adapters.torch_shared.processes import deaf_to_interrupts, die_with_parent
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import ResourceError, UsageError

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class Task:
    """A part, until it is answered."""

    texts: Sequence[str]
    plan: ExecutionPlan
    deaths: int = 0
    answer: Answer | None = None


@attrs.define(eq=False)
class _Hand:
    """One worker process as its parent sees it; `ready` once it listens."""

    process: BaseProcess
    connection: Connection
    number: int
    task: Task | None
    ready: bool = False


class ProcessCrew(Crew[Task]):
    """Up to `count` worker processes. One that dies is replaced, and its part done again by whoever is free.

    A worker is started when there is a part for it. What they say is heard while `encoding` waits.
    """

    def __init__(self, encoder: Encoder, count: int) -> None:
        self.encoder = encoder
        self.count = count
        self._hands: list[_Hand] = []
        self._open: deque[Task] = deque()

    def submit(self, texts: Sequence[str], plan: ExecutionPlan) -> Task:
        """Take a part on.

        Raises:
            UsageError: the encoder cannot be sent to a worker.
        """
        task = Task(texts, plan)
        self._open.append(task)
        self._deal()
        return task

    def encoding(self, task: Task) -> Encoding:
        """Wait for a part's encoding.

        Raises:
            ResourceError: worker after worker died over a part.
            UsageError: workers do not even start.
        """
        while task.answer is None:
            busy: dict[Any, _Hand] = {hand.connection: hand for hand in self._hands if hand.task is not None}
            for connection in wait(list(busy)):
                self._hear(busy[connection])
        return task.answer.encoding()

    def stop(self) -> None:
        """End the workers at once: what they are at is done again by whoever resumes."""
        for hand in self._hands:
            hand.process.kill()
        while self._hands:
            self._bury(self._hands[0])

    def _deal(self) -> None:
        """Give open tasks to workers that are free, or not yet there."""
        while self._open:
            free = next((hand for hand in self._hands if hand.task is None), None)
            if free is not None:
                free.task = self._open.popleft()
                self._send(free)
            elif len(self._hands) < self.count:
                self._start(self._open.popleft())
            else:
                return

    def _hear(self, hand: _Hand) -> None:
        assert hand.task is not None
        try:
            said = hand.connection.recv()
        except (EOFError, OSError):
            self._replace(hand)
            return
        if not hand.ready:
            hand.ready = True
            self._send(hand)
            return
        hand.task.answer, hand.task = said, None
        self._deal()

    def _send(self, hand: _Hand) -> None:
        assert hand.task is not None
        try:
            hand.connection.send((hand.task.texts, hand.task.plan))
        except OSError:  # it died meanwhile, and is replaced when it is next listened to
            logger.debug("a worker process does not listen")

    def _replace(self, hand: _Hand) -> None:
        code = self._bury(hand)
        task = hand.task
        assert task is not None
        if not hand.ready and code > 0:
            raise UsageError(
                f"executor: a worker process ended with code {code} before it could begin; a script that calls "
                'fusionapp needs `if __name__ == "__main__":` around its calls, or executor = "local"'
            )
        task.deaths += 1
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        if task.deaths >= ATTEMPTS:
            raise ResourceError(
                f"executor: a worker process died {task.deaths} times over one shard, at last {how}, most likely "
                'for want of memory; use fewer `extract.workers`, a smaller `batch_tokens`, or executor = "local"'
            )
        logger.warning("a worker process died %s; it is replaced, and its shard begun again", how)
        self._open.appendleft(task)
        self._deal()

    def _bury(self, hand: _Hand) -> int:
        """Wait for the end of one that has ended, or was told to; its exit code."""
        self._hands.remove(hand)
        hand.connection.close()
        hand.process.join()
        code = hand.process.exitcode
        hand.process.close()
        return code or 0

    def _start(self, task: Task) -> None:
        context = get_context("spawn")
        number = min(set(range(self.count)) - {hand.number for hand in self._hands})
        here, there = context.Pipe()
        arguments = (there, self.encoder, number, cpu_share(self.count), log_level())
        process = context.Process(target=_serve, args=arguments, name=f"worker-{number}", daemon=True)
        try:
            with deaf_to_interrupts():
                process.start()
        except (PicklingError, TypeError, AttributeError) as error:
            raise UsageError(
                f'executor: this encoder cannot be sent to another process: {error}; use executor = "local"'
            ) from error
        there.close()  # so that this side hears when the worker is gone
        self._hands.append(_Hand(process, here, number, task))


def _serve(connection: Connection, encoder: Encoder, number: int, threads: int, level: int) -> None:
    die_with_parent()
    os.dup2(2, 1)  # stdout carries results; what a library prints here is none
    worker = Worker(encoder, number, threads, level)
    with suppress(EOFError, OSError):  # the parent is gone
        connection.send(None)
        while True:
            connection.send(worker.answer(*connection.recv()))
