"""What runs in a worker, whoever started it: one encoder, one part after the other."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Sequence
from logging.handlers import QueueHandler
from queue import SimpleQueue

import attrs

from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import UsageError, WorkersLostError

ATTEMPTS = 3
"""Workers that may die over one part before something is wrong with the part itself."""

HANGS = 2
"""Workers that may hang over one part: each takes the whole patience."""

PATIENCE = 3600.0
"""Seconds without a batch until a worker is taken to hang: a server that is busy may be asked for half an hour."""

GLANCE = 5.0
"""Most seconds of silence that are counted at once: a machine that slept for hours has no worker that hangs."""


def cpu_share(workers: int) -> int:
    """Threads for each of so many workers, so that together they take this machine's cores and no more."""
    return max(1, (os.cpu_count() or 1) // workers)


def count_workers(asked: int | None, plan: ExecutionPlan) -> int:
    """How many workers: as asked, else one a GPU, or two on a CPU, whose cores they share.

    Raises:
        UsageError: fewer than one.
    """
    if asked is not None:
        if asked < 1:
            raise UsageError(f"extract.workers: {asked} must be at least 1")
        return asked
    if plan.device.startswith("cuda"):
        import torch

        return torch.cuda.device_count()
    return min(2, os.cpu_count() or 1)


@attrs.frozen(eq=False)
class Answer:
    """What a worker says to a part.

    Attributes:
        outcome: the encoding, or the encoder's own error.
        records: what was logged meanwhile.
    """

    outcome: Encoding | Exception
    records: Sequence[logging.LogRecord]

    def encoding(self) -> Encoding:
        """The encoding; logs what the worker logged, and raises what the encoder raised there."""
        for record in self.records:
            logging.getLogger(record.name).handle(record)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Worker:
    """Encodes in a process that is not the caller's own.

    Args:
        encoder: before its weights are loaded.
        number: of this worker among its like, which take turns over the CUDA devices that it sees.
        threads: CPU threads that it may take.
        level: least severe records that the caller logs.
    """

    def __init__(self, encoder: Encoder, number: int, threads: int, level: int) -> None:
        _limit_threads(threads)
        self._encoder = encoder
        self._number = number
        self._logged: SimpleQueue[logging.LogRecord] = SimpleQueue()
        logger = logging.getLogger("fusionapp")
        logger.handlers = [QueueHandler(self._logged)]
        logger.propagate = False
        logger.setLevel(level)

    def answer(
        self, texts: Sequence[str], plan: ExecutionPlan, on_batch: Callable[[int, int], None]
    ) -> Answer:
        """Encode one part on this worker's own device, whatever comes of it; `on_batch` is a sign of life."""
        outcome: Encoding | Exception
        try:
            outcome = self._encoder.encode(texts, _placed(plan, self._number), on_batch)
        except Exception as error:  # noqa: BLE001  # raised again by the caller
            outcome = _portable(error)
        return Answer(outcome, [self._logged.get() for _ in range(self._logged.qsize())])


def died(count: int, how: str) -> WorkersLostError:
    """What ends a run over a part that so many workers died over, at last in such a way."""
    return WorkersLostError(
        f"executor: a worker died {count} times over one shard, at last {how}, most likely for want of memory; "
        'use fewer `extract.workers`, a smaller `batch_tokens`, or executor = "local"'
    )


def hung(count: int, patience: float) -> WorkersLostError:
    """What ends a run over a part that worker after worker hung over."""
    return WorkersLostError(
        f"executor: {count} workers in turn finished no batch of one shard within {patience / 60:g} min; raise "
        '`extract.patience` if a batch takes longer than that, else try executor = "local" to see where it hangs'
    )


def log_level() -> int:
    """Of the records that are worth sending here."""
    return logging.getLogger("fusionapp").getEffectiveLevel()


def _placed(plan: ExecutionPlan, number: int) -> ExecutionPlan:
    if not plan.device.startswith("cuda"):
        return plan
    import torch

    return attrs.evolve(plan, device=f"cuda:{number % torch.cuda.device_count()}")


def _limit_threads(threads: int) -> None:
    """Hold this process to so many threads: before torch is imported by the environment, after it by call."""
    os.environ.update(
        dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads))
    )
    if "torch" in sys.modules:  # an encoder without torch need not wait for it
        import torch

        torch.set_num_threads(threads)


def _portable(error: Exception) -> Exception:
    """The error as it can be sent, with where it was raised for `--debug`; some libraries' own cannot."""
    error.add_note("".join(["In a worker:\n", *traceback.format_exception(error)]))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    except Exception:  # noqa: BLE001  # whatever their constructors raise
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = error.__notes__
        return plain
    return error
