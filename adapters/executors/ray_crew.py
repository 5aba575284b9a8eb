"""Actors of a Ray cluster as a crew."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
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
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import UpstreamError, UsageError

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class Task:
    """A part, the place of the actor that has it, and Ray's promise of an answer."""

    texts: Sequence[str]
    plan: ExecutionPlan
    place: int
    promise: Any


class RayCrew(Crew[Task]):
    """One actor for each place; the places take turns.

    Args:
        ray: the module, connected.
        encoder: sent to every actor.
        workers: how many; None is one a GPU, or the cluster's CPUs less one, at most four.
        cuda: whether each actor needs a GPU.
        patience: seconds without a batch until an actor is taken to hang.

    Raises:
        UsageError: there is no GPU.
    """

    def __init__(
        self, ray: Any, encoder: Encoder, workers: int | None, *, cuda: bool, patience: float
    ) -> None:
        self.encoder = encoder
        self._ray = ray
        self._cuda = cuda
        self._patience = patience
        resources = ray.cluster_resources()
        cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
        if cuda and not gpus:
            raise UsageError('executor: the Ray cluster has no GPU; set the encoders\' device to "cpu"')
        self.count = workers or (gpus if cuda else max(1, min(4, cpus - 1)))
        # Half a CPU of the cluster stays free: actors that take every CPU keep all else waiting for ever.
        self._cpus = min(1.0, (cpus - 0.5) / self.count)
        self._turn = 0
        self._actors = [self._start() for _ in range(self.count)]

    def submit(self, texts: Sequence[str], plan: ExecutionPlan) -> Task:
        """Give a part to the next actor."""
        self._turn = (self._turn + 1) % self.count
        return Task(texts, plan, self._turn, self._promise(self._turn, texts, plan))

    def encoding(self, task: Task) -> Encoding:
        """Wait for a part's encoding.

        Raises:
            WorkersLostError: actor after actor died or hung over the part.
            UpstreamError: Ray failed.
        """
        errors = self._ray.exceptions
        deaths = hangs = 0
        while True:
            try:
                if not self._hangs(task):
                    answer: Answer = self._ray.get(task.promise)
                    return answer.encoding()
                hangs += 1
                if hangs >= HANGS:
                    raise hung(hangs, self._patience)
                why = f"finished no batch within {self._patience / 60:g} min"
                self._ray.kill(self._actors[task.place])
            except (errors.RayActorError, errors.OutOfMemoryError) as error:
                if getattr(error, "actor_init_failed", False):
                    raise UpstreamError(f"executor: a Ray actor could not begin: {error}") from error
                deaths += 1
                if deaths >= ATTEMPTS:
                    raise died(deaths, "as Ray says") from error
                why = "died"
            except errors.RayError as error:
                raise UpstreamError(f"executor: a Ray actor failed: {error}") from error
            logger.warning("a Ray actor %s; it is replaced, and its shard begun again", why)
            self._replace(task.place)
            task.promise = self._promise(task.place, task.texts, task.plan)

    def stop(self) -> None:
        """End the actors."""
        for actor in self._actors:
            self._ray.kill(actor)

    def _hangs(self, task: Task) -> bool:
        """Wait until a part is answered, or its actor has finished no batch for too long."""
        seen, silent = -1, 0.0
        while silent < self._patience:
            start = monotonic()
            if self._ray.wait([task.promise], timeout=min(GLANCE, self._patience))[0]:
                return False
            try:
                batches = self._ray.get(self._batches(task.place), timeout=GLANCE)
            except self._ray.exceptions.GetTimeoutError:  # it has not begun, or nothing in it goes on
                batches = seen
            silent = silent + min(2 * GLANCE, monotonic() - start) if batches == seen else 0.0
            seen = batches
        return True

    def _promise(self, place: int, texts: Sequence[str], plan: ExecutionPlan) -> Any:
        return self._actors[place].answer.remote(list(texts), plan)

    def _batches(self, place: int) -> Any:
        """Ray's promise of the number of batches that an actor has finished."""
        return self._actors[place].batches.options(concurrency_group="pulse").remote()

    def _replace(self, place: int) -> None:
        """Start another actor, unless an earlier task of the same one has had it replaced."""
        try:
            self._ray.get(self._actors[place].ping.remote())
        except self._ray.exceptions.RayActorError:
            self._actors[place] = self._start()

    def _start(self) -> Any:
        options = {"num_cpus": self._cpus, "num_gpus": 1 if self._cuda else 0, "max_restarts": 0}
        # While one thread encodes, another one tells how far it is.
        remote = self._ray.remote(**options, concurrency_groups={"pulse": 1})(_Actor)
        threads = cpu_share(max(1, round((os.cpu_count() or 1) * self._cpus)))
        return remote.remote(self.encoder, threads, log_level())


class _Actor:
    """Ray gives it one GPU, which it sees as the first; without the threads it would have one."""

    def __init__(self, encoder: Encoder, threads: int, level: int) -> None:
        self._worker = Worker(encoder, 0, threads, level)
        self._batches = 0

    def ping(self) -> bool:
        return True

    def batches(self) -> int:
        return self._batches

    def answer(self, texts: list[str], plan: ExecutionPlan) -> Answer:
        return self._worker.answer(texts, plan, self._count)

    def _count(self, *_: int) -> None:
        self._batches += 1
