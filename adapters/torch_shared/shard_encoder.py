"""Shard after shard of one encoder: what memory taught of one shard holds for those that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import attrs

from fusionapp.domain.embeddings import EmbeddingShape, Encoding, ExecutionPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionapp.adapters.model_files.tokenization import Tokens
    from fusionapp.adapters.torch_shared.shard import OnBatch, ShardRun, Views


@attrs.define(eq=False)
class ShardEncoder:
    """Turns tokens into an `Encoding` by a plan.

    It goes with its encoder to other processes; torch is imported by the first call.

    Attributes:
        knows_memory: whether torch holds the weights, and so knows the most memory that was taken.
        most_tokens: of a batch, since a shard ran out of memory; None until one does.
    """

    knows_memory: bool = True
    most_tokens: int | None = None

    def __call__(
        self,
        views: Views,
        tokens: Tokens,
        shape: EmbeddingShape,
        plan: ExecutionPlan,
        on_batch: OnBatch | None = None,
        *,
        sequences: Sequence[NDArray[np.int32]] | None = None,
        skip: int = 0,
        in_float32: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> Encoding:
        """Embed a shard; see `encode_rows`.

        Args:
            views: the forward pass.
            tokens: of the shard's texts or windows.
            shape: of one of them, once embedded.
            plan: how to compute.
            on_batch: is told texts and tokens of each batch.
            sequences: what stands for `tokens.ids` where the forward pass starts from something else.
            skip: tokens at the start of each text that are not pooled.
            in_float32: widens the weights for a while; None where they cannot be.

        Returns:
            (texts or windows, layers, dim) float32, and what became of each.

        Raises:
            ResourceError: one text alone does not fit in memory.
        """
        from fusionapp.adapters.torch_shared.shard import encode_rows

        run = self._begin(views, tokens.ids if sequences is None else sequences, shape, plan, skip)
        budget = run.budget
        encode_rows(run, plan.dtype, in_float32, on_batch)
        if run.budget < budget:
            self.most_tokens = run.budget
        return self._encoding(run, tokens, plan)

    def _begin(
        self,
        views: Views,
        sequences: Sequence[NDArray[np.int32]],
        shape: EmbeddingShape,
        plan: ExecutionPlan,
        skip: int,
    ) -> ShardRun:
        from fusionapp.adapters.torch_shared.shard import ShardRun

        budget = min(plan.batch_tokens, self.most_tokens or plan.batch_tokens)
        run = ShardRun(
            views,
            sequences,
            (shape.layers, shape.dim),
            skip=skip,
            budget=budget,
            threads=plan.threads if plan.device == "cpu" else 1,
            packed=plan.attention == "packed",
        )
        if budget < plan.batch_tokens:
            run.notes.append(f"{budget} tokens a batch, after an earlier shard ran out of memory")
        return run

    def _encoding(self, run: ShardRun, tokens: Tokens, plan: ExecutionPlan) -> Encoding:
        from fusionapp.adapters.torch_shared.device import peak_memory

        return Encoding(
            embeddings=run.vectors,
            truncated=tokens.truncated,
            failed=~run.done,
            tokens=int(run.lengths.sum()),
            padded_tokens=run.padded_tokens,
            notes=tuple(run.notes),
            tokenizer_seconds=tokens.seconds,
            peak_device_bytes=peak_memory(plan.device) if self.knows_memory else 0,
        )
