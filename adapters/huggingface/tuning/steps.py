"""One optimizer step: pools, their gradients, the clipped update."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.huggingface.tuning.distributed import Crew
from fusionapp.adapters.huggingface.tuning.gradcache import backward
from fusionapp.adapters.huggingface.tuning.objective import Objective
from fusionapp.adapters.huggingface.tuning.optimizers import EncoderOptimizer
from fusionapp.adapters.huggingface.tuning.pool_embeddings import PoolEmbeddings, TokenizedPairs
from fusionapp.adapters.huggingface.tuning.pools import Pool
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.domain.retrieval.false_negatives import FalseNegatives


@attrs.frozen
class StepResult:
    """What a step did.

    Attributes:
        loss: mean over its pools.
        gradient: length of the gradient before clipping.
    """

    loss: float
    gradient: float

    @property
    def finite(self) -> bool:
        """Whether both are numbers."""
        return bool(np.isfinite(self.loss) and np.isfinite(self.gradient))


class Stepper:
    """Takes steps; every process of a crew takes the same ones."""

    def __init__(
        self,
        encoder: TrainableEncoder,
        embeddings: PoolEmbeddings,
        objective: Objective,
        optimizer: EncoderOptimizer,
        crew: Crew,
        clip: float | None,
    ) -> None:
        self._embeddings = embeddings
        self._objective = objective
        self._optimizer = optimizer
        self._crew = crew
        self._clip = clip
        self._device = encoder.device
        self._weights = list(encoder.trained())

    def step(
        self, data: TokenizedPairs, known: FalseNegatives, pools: Sequence[Pool], rate: float
    ) -> StepResult:
        """Step by the mean gradient of these pools; a gradient that is not finite is not stepped by.

        Args:
            data: holds the texts.
            known: what is no negative in it.
            pools: of its rows.
            rate: step size.
        """
        losses = [self._backward(data, known, pool, len(pools)) for pool in pools]
        self._crew.sum_gradients(self._weights)
        trained = self._optimizer.parameters
        gradients = [weight.grad for weight in trained if weight.grad is not None]
        length = torch.nn.utils.get_total_norm(gradients)
        result = StepResult(float(torch.stack(losses).sum()), float(length))
        if not result.finite:
            self._optimizer.zero_grad()
            return result
        if self._clip is not None and result.gradient > self._clip:
            torch.nn.utils.clip_grads_with_norm_(trained, self._clip, length)
        self._optimizer.step(rate)
        self._objective.keep_in_range()
        return result

    def _backward(self, data: TokenizedPairs, known: FalseNegatives, pool: Pool, pools: int) -> Tensor:
        """Add this pool's share of the step's gradient; its share of the step's loss."""
        lengths = np.concatenate([data.queries.lengths[pool.queries], data.documents.lengths[pool.documents]])
        mine = [self._crew.share(lengths, rank) for rank in range(self._crew.size)]
        chunks = [self._embeddings.cut(lengths[rows]) for rows in mine]
        orders = [
            rows[np.concatenate([batch for chunk in cut for batch in chunk])]
            for rows, cut in zip(mine, chunks, strict=True)
        ]
        own = self._crew.rank
        places = [[mine[own][batch] for batch in chunk] for chunk in chunks[own]]
        parts = self._embeddings.parts(data, pool.queries, pool.documents, places)
        allowed = torch.from_numpy(known.mask(pool.queries, pool.documents)[pool.query]).to(self._device)
        return backward(
            parts, lambda found: self._loss(found, orders, pool, allowed, 1 / pools), self._device
        )

    def _loss(
        self,
        found: Tensor,
        orders: Sequence[NDArray[np.int64]],
        pool: Pool,
        allowed: Tensor,
        share: float,
    ) -> tuple[Tensor, Tensor]:
        """The pool's loss and its gradient by this process's embeddings, in the order of its chunks."""
        everyone = self._crew.gather(found, [len(order) for order in orders])
        place = torch.from_numpy(np.argsort(np.concatenate(orders))).to(everyone.device)
        own = torch.from_numpy(orders[self._crew.rank]).to(everyone.device)
        texts = everyone[place].requires_grad_()
        count = len(pool.queries)
        loss = share * self._objective(texts[:count], texts[count:], pool, allowed)
        # Whatever else is trained is the same in every process, and so is its gradient.
        extra = self._objective.parameters
        gradient, *others = torch.autograd.grad(loss, [texts, *extra])
        for parameter, its in zip(extra, others, strict=True):
            parameter.grad = its if parameter.grad is None else parameter.grad + its
        return loss.detach(), gradient[own]
