"""Where an encoder's work is done: in this process, in several, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Protocol

from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import Encoding, ExecutionPlan


class Executor(Protocol):
    """Runs an encoder over parts of a job. What comes back does not depend on which executor it was."""

    def encode(
        self,
        encoder: Encoder,
        parts: Iterable[Sequence[str]],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Generator[Encoding]:
        """Each part's encoding, in the order of the parts.

        Parts are read ahead by a few, so that no worker waits; closing the iterator early stops the workers.

        Args:
            encoder: sent to the workers before its weights are loaded, where they are other processes.
            parts: texts; one part is one worker's task.
            plan: how to compute, which every worker follows.
            on_batch: `on_batch(texts, tokens)` is called as texts are done, for progress.

        Raises:
            UpstreamError, ResourceError: as the encoder says.
            WorkersLostError: workers die or hang again and again over the part whose turn it is.
        """

    def close(self) -> None:
        """End the workers, which may have been kept, and their weights, for the same encoder's next job."""
