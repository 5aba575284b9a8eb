"""A design whose products run on every core."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fusionapp.adapters.torch_shared.device import automatic_dtype
from fusionapp.adapters.torch_shared.sparse_products import bag_product
from fusionapp.domain.linear import Design, Matrix


class TorchDesign(Design):
    """The products of a float32 `Design` by torch.

    scipy's sparse product runs on one core, at a third of the speed; numpy's dense one takes twice as long for
    matrices as narrow as a class count (23,485 x 2,304 by 27).
    """

    @cached_property
    def _dense(self) -> Tensor:
        return torch.from_numpy(self.dense)

    @cached_property
    def rough(self) -> Design:
        """The same with its dense block in bfloat16 where the hardware multiplies it: a quarter of the time."""
        if automatic_dtype(torch.device("cpu")) != torch.bfloat16:
            return self
        return _RoughDesign(self.dense, self.sparse)

    def scores(self, weights: Matrix) -> Matrix:
        """See `Design.scores`."""
        start = self._dense.shape[1]
        scores: Matrix = _times(self._dense, weights[:start])
        for block in self.sparse:
            stop = start + block.shape[1]
            scores += bag_product(block, weights[start:stop])
            start = stop
        return scores

    def back(self, slopes: Matrix) -> Matrix:
        """See `Design.back`."""
        products = (bag_product(block, slopes) for block in self.transposed)
        return np.concatenate([self._dense_back(slopes), *products])

    def _dense_back(self, slopes: Matrix) -> Matrix:
        return _times(torch.from_numpy(np.ascontiguousarray(slopes.T)), self.dense).T


class _RoughDesign(TorchDesign):
    """The dense block and what it is multiplied by in bfloat16."""

    @cached_property
    def _dense(self) -> Tensor:
        return torch.from_numpy(self.dense).bfloat16()

    @cached_property
    def _transposed(self) -> Tensor:
        return self._dense.T.contiguous()

    def _dense_back(self, slopes: Matrix) -> Matrix:
        return _times(self._transposed, slopes)


def _times(left: Tensor, right: Matrix) -> Matrix:
    product: Matrix = (left @ torch.from_numpy(np.ascontiguousarray(right)).to(left.dtype)).float().numpy()
    return product
