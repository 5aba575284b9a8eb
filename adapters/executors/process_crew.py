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
from time import monotonic
from typing import Any

import attrs

from fusionapp.adapters.executors.crews import Crew
from fusionapp.adapters.executors.workers import (
    ATTEMPTS,
    GLANCE,
    HANGS,
    Answer,
    Worker,
    cpu_share,
    died,
    hung,
    log_level,
)
from fusionapp.adapters.torch_shared.processes import deaf_to_interrupts, die_with_parent
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import UsageError, WorkersLostError

logger = logging.getLogger(__name__)

_SECONDS = 1.0
"""Between two signs of life, so that small batches do not fill the pipe while nobody listens."""


@attrs.define(eq=False)
class Task:
    """A part, until it is answered."""

    texts: Sequence[str]
    plan: ExecutionPlan
    deaths: int = 0
    hangs: int = 0
    answer: Answer | None = None


@attrs.define(eq=False)
class _Hand:
    """One worker process as its parent sees it; `ready` once it listens, `silent` for so many seconds."""

    process: BaseProcess
    connection: Connection
    number: int
    task: Task | None
    ready: bool = False
    silent: float = 0.0


@attrs.frozen
class _Pulse:
    """What a worker says after a batch, and when it has begun: it is alive."""


class ProcessCrew(Crew[Task]):
    """Up to `count` worker processes. One that dies or hangs is replaced, and its part done again.

    A worker is started when there is a part for it. What they say is heard while `encoding` waits. One that
    finishes no batch for `patience` seconds, its start included, is taken to hang.
    """

    def __init__(self, encoder: Encoder, count: int, patience: float) -> None:
        self.encoder = encoder
        self.count = count
        self._patience = patience
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
            WorkersLostError: worker after worker died or hung over the part.
            UsageError: workers do not even start.
        """
        while task.answer is None:
            self._listen()
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

    def _listen(self) -> None:
        """Hear who has something to say, and count the silence of the others."""
        busy: dict[Any, _Hand] = {hand.connection: hand for hand in self._hands if hand.task is not None}
        start = monotonic()
        heard = wait(list(busy), timeout=min(GLANCE, self._patience))
        passed = min(GLANCE, monotonic() - start)
        for connection, hand in busy.items():
            hand.silent = 0.0 if connection in heard else hand.silent + passed
            if connection in heard:
                self._hear(hand)
            elif hand.silent >= self._patience:
                self._dismiss(hand)

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
        if not isinstance(said, _Pulse):
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
        self._begin_again(task, f"died {how}", died(task.deaths, how) if task.deaths >= ATTEMPTS else None)

    def _dismiss(self, hand: _Hand) -> None:
        """Kill one that hangs."""
        hand.process.kill()
        self._bury(hand)
        task = hand.task
        assert task is not None
        task.hangs += 1
        error = hung(task.hangs, self._patience) if task.hangs >= HANGS else None
        self._begin_again(task, f"finished no batch within {self._patience / 60:g} min", error)

    def _begin_again(self, task: Task, why: str, error: WorkersLostError | None) -> None:
        """Deal a part out anew; an error comes in the part's turn, as the encoder's own do."""
        if error is None:
            logger.warning("a worker process %s; it is replaced, and its shard begun again", why)
            self._open.appendleft(task)
        else:
            task.answer = Answer(error, [])
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
        connection.send(_Pulse())
        last = monotonic()

        def pulse(*_: int) -> None:
            nonlocal last
            if monotonic() - last >= _SECONDS:
                last = monotonic()
                connection.send(_Pulse())

        while True:
            texts, plan = connection.recv()
            connection.send(worker.answer(texts, plan, pulse))
