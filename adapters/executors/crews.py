"""Dealing parts out to workers, and taking the encodings back in order."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.executor import Executor
from fusionapp.domain.embeddings import Encoding, ExecutionPlan

T = TypeVar("T")


class Crew(Protocol[T]):
    """Workers that hold one encoder each.

    Attributes:
        encoder: which one.
        count: most parts that are worked on at once.
    """

    encoder: Encoder
    count: int

    def submit(self, texts: Sequence[str], plan: ExecutionPlan) -> T:
        """Take a part on; what is returned stands for it."""

    def encoding(self, task: T) -> Encoding:
        """Wait for a part's encoding; whoever dies or hangs over it is replaced.

        Raises:
            WorkersLostError: worker after worker died or hung over the part.
            FusionAppError: as the encoder said.
        """

    def stop(self) -> None:
        """End the workers at once: what they are at is done again by whoever resumes."""


class CrewExecutor(Executor):
    """Keeps a crew, and with it the weights, from one job of an encoder to the next.

    A job that fails or is left early ends its crew, which is in the middle of something.
    """

    def __init__(self) -> None:
        self._crew: Crew[Any] | None = None

    def encode(
        self,
        encoder: Encoder,
        parts: Iterable[Sequence[str]],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Generator[Encoding]:
        """Hand the parts out, and give the encodings back; at most one more than workers is out or waits."""
        waiting: deque[tuple[int, Any]] = deque()
        remaining = iter(parts)
        done = False
        try:
            crew = self._crew_of(encoder, plan)
            while True:
                while len(waiting) <= crew.count and (texts := next(remaining, None)) is not None:
                    waiting.append((len(texts), crew.submit(texts, plan)))
                if not waiting:
                    done = True
                    return
                encoding = crew.encoding(waiting[0][1])
                count, _ = waiting.popleft()
                if on_batch is not None:
                    on_batch(count, encoding.tokens)
                yield encoding
        finally:
            if not done:
                self.close()

    def close(self) -> None:
        """End the workers."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.stop()

    @abstractmethod
    def _hire(self, encoder: Encoder, plan: ExecutionPlan) -> Crew[Any]:
        """Find workers for an encoder."""

    def _crew_of(self, encoder: Encoder, plan: ExecutionPlan) -> Crew[Any]:
        if self._crew is None or self._crew.encoder is not encoder:
            self.close()
            self._crew = self._hire(encoder, plan)
        return self._crew
