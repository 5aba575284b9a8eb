"""Actors of a Ray cluster as a crew."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import attrs

from fusionapp.adapters.executors.crews import Crew
from fusionapp.adapters.executors.workers import ATTEMPTS, Answer, Worker, cpu_share, log_level
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import ResourceError, UpstreamError, UsageError

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

    Raises:
        UsageError: there is no GPU.
    """

    def __init__(self, ray: Any, encoder: Encoder, workers: int | None, *, cuda: bool) -> None:
        self.encoder = encoder
        self._ray = ray
        self._cuda = cuda
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
            ResourceError: actor after actor died over the part.
            UpstreamError: Ray failed.
        """
        errors = self._ray.exceptions
        for _ in range(ATTEMPTS):
            try:
                answer: Answer = self._ray.get(task.promise)
            except (errors.RayActorError, errors.OutOfMemoryError) as error:
                if getattr(error, "actor_init_failed", False):
                    raise UpstreamError(f"executor: a Ray actor could not begin: {error}") from error
                logger.warning("a Ray actor died; it is replaced, and its shard begun again")
                self._replace(task.place)
                task.promise = self._promise(task.place, task.texts, task.plan)
            except errors.RayError as error:
                raise UpstreamError(f"executor: a Ray actor failed: {error}") from error
            else:
                return answer.encoding()
        raise ResourceError(
            f"executor: a Ray actor died {ATTEMPTS} times over one shard, most likely for want of memory; use "
            "fewer `extract.workers` or a smaller `batch_tokens`"
        )

    def stop(self) -> None:
        """End the actors."""
        for actor in self._actors:
            self._ray.kill(actor)

    def _promise(self, place: int, texts: Sequence[str], plan: ExecutionPlan) -> Any:
        return self._actors[place].answer.remote(list(texts), plan)

    def _replace(self, place: int) -> None:
        """Start another actor, unless an earlier task of the same one has had it replaced."""
        try:
            self._ray.get(self._actors[place].ping.remote())
        except self._ray.exceptions.RayActorError:
            self._actors[place] = self._start()

    def _start(self) -> Any:
        options = {"num_cpus": self._cpus, "num_gpus": 1 if self._cuda else 0, "max_restarts": 0}
        remote = self._ray.remote(**options)(_Actor)
        threads = cpu_share(max(1, round((os.cpu_count() or 1) * self._cpus)))
        return remote.remote(self.encoder, threads, log_level())


class _Actor:
    """Ray gives it one GPU, which it sees as the first; without the threads it would have one."""

    def __init__(self, encoder: Encoder, threads: int, level: int) -> None:
        self._worker = Worker(encoder, 0, threads, level)

    def ping(self) -> bool:
        return True

    def answer(self, texts: list[str], plan: ExecutionPlan) -> Answer:
        return self._worker.answer(texts, plan)
