"""Encoding in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.executor import Executor
from fusionapp.domain.embeddings import Encoding, ExecutionPlan


class LocalExecutor(Executor):
    """The encoder runs here, and overlaps what it can by itself."""

    def encode(
        self,
        encoder: Encoder,
        parts: Iterable[Sequence[str]],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Generator[Encoding]:
        """Stream the parts through the encoder."""
        yield from encoder.stream(parts, plan, on_batch)

    def close(self) -> None:
        """Nothing is kept: the encoder is the caller's."""
