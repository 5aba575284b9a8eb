"""Encoding by the actors of a Ray cluster, one part a task."""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from fusionapp.adapters.executors.workers import cpu_share, encode_part, limit_threads
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.executor import Executor
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import FusionAppError, ResourceError, UpstreamError, UsageError

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
"""Times that a part is given to an actor that dies before something is wrong with the part itself."""


@attrs.frozen
class RayExecutor(Executor):
    """Actors, each with weights of its own; one that dies is replaced, and its part done again.

    What is done is decided by the store, never by Ray. The model and fusionapp must be installed on every node.

    Attributes:
        workers: how many actors; None is one a GPU of the cluster, or its CPUs less one, at most four.
        address: of an existing cluster ("auto", "ray://host:10001"); None is RAY_ADDRESS, else a cluster on
            this machine's loopback address that ends with the run.
    """

    workers: int | None = None
    address: str | None = None

    def encode(
        self,
        encoder: Encoder,
        parts: Iterable[Sequence[str]],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Generator[Encoding]:
        """Hand the parts out, and give the encodings back in order."""
        with _connected(self.address) as ray:
            crew = _Crew(ray, encoder, plan, self.workers)
            waiting: deque[_Task] = deque()
            remaining = iter(parts)
            try:
                while True:
                    while len(waiting) <= len(crew.actors) and (texts := next(remaining, None)) is not None:
                        waiting.append(crew.submit(texts))
                    if not waiting:
                        return
                    encoding = crew.result(waiting[0])
                    texts = waiting.popleft().texts
                    if on_batch is not None:
                        on_batch(len(texts), encoding.tokens)
                    yield encoding
            finally:
                crew.stop()


@attrs.define(eq=False)
class _Task:
    texts: Sequence[str]
    actor: int
    reference: Any


class _Crew:
    def __init__(self, ray: Any, encoder: Encoder, plan: ExecutionPlan, workers: int | None) -> None:
        self._ray = ray
        self._encoder = encoder
        self._plan = plan
        resources = ray.cluster_resources()
        self._cuda = plan.device.startswith("cuda")
        cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
        if self._cuda and not gpus:
            raise UsageError('executor: the Ray cluster has no GPU; set the encoders\' device to "cpu"')
        count = workers or (gpus if self._cuda else max(1, min(4, cpus - 1)))
        # Half a CPU of the cluster stays free: actors that take every CPU keep all else waiting for ever.
        self._cpus = min(1.0, (cpus - 0.5) / count)
        self._next = 0
        self.actors = [self._start() for _ in range(count)]

    def submit(self, texts: Sequence[str]) -> _Task:
        self._next = (self._next + 1) % len(self.actors)
        return _Task(texts, self._next, self.actors[self._next].encode.remote(list(texts)))

    def result(self, task: _Task) -> Encoding:
        for _ in range(_ATTEMPTS):
            try:
                encoding: Encoding = self._ray.get(task.reference)
            except self._ray.exceptions.RayTaskError as error:
                raise _cause(error) from error
            except self._ray.exceptions.RayActorError as error:
                if getattr(error, "actor_init_failed", False):
                    raise UpstreamError(f"executor: a Ray actor could not begin: {error}") from error
                logger.warning("a Ray actor died; it is replaced, and its shard begun again")
                self._replace(task.actor)
                task.reference = self.actors[task.actor].encode.remote(list(task.texts))
                continue
            return encoding
        raise ResourceError(
            f"executor: a Ray actor died {_ATTEMPTS} times over one shard, most likely for want of memory; use "
            "fewer `extract.workers` or a smaller `batch_tokens`"
        )

    def stop(self) -> None:
        for actor in self.actors:
            self._ray.kill(actor)

    def _replace(self, place: int) -> None:
        """Start another actor, unless an earlier task of the same one has had it replaced."""
        try:
            self._ray.get(self.actors[place].ping.remote())
        except self._ray.exceptions.RayActorError:
            self.actors[place] = self._start()

    def _start(self) -> Any:
        options = {"num_cpus": self._cpus, "num_gpus": 1 if self._cuda else 0, "max_restarts": 0}
        remote = self._ray.remote(**options)(_Worker)
        threads = cpu_share(max(1, round((os.cpu_count() or 1) * self._cpus)))
        return remote.remote(self._encoder, self._plan, threads)


class _Worker:
    """One actor. Ray gives it one GPU, which it sees as the first."""

    def __init__(self, encoder: Encoder, plan: ExecutionPlan, threads: int) -> None:
        limit_threads(threads)  # Ray sets OMP_NUM_THREADS to 1 otherwise
        self._encoder = encoder
        self._plan = plan
        self._device = "cuda:0" if plan.device.startswith("cuda") else plan.device

    def ping(self) -> bool:
        return True

    def encode(self, texts: list[str]) -> Encoding:
        return encode_part(self._encoder, texts, self._plan, self._device)


def _cause(error: Any) -> Exception:
    """The encoder's own error, where it is one of ours; else what Ray makes of it."""
    cause = getattr(error, "cause", None)
    return (
        cause
        if isinstance(cause, FusionAppError)
        else UpstreamError(f"executor: a Ray actor failed: {error}")
    )


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            'extract.executor: "ray" needs the package ray; install the extra `distributed`'
        ) from error
    address = address or os.environ.get("RAY_ADDRESS")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    embedded: dict[str, Any] = {
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        # Actors here import what this process imports, from the same places.
        "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
    }
    begun = not ray.is_initialized()
    if begun:
        try:
            ray.init(address=address, **quiet, **({} if address else embedded))
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UpstreamError(
                f"executor: no Ray cluster at {address or 'this machine'}: {error}; see RAY_ADDRESS, or leave it "
                "out to start one here"
            ) from error
    try:
        yield ray
    finally:
        if begun:
            ray.shutdown()
