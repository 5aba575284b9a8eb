"""Encoders that are trained together with what reads their embeddings, whatever library they are from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.application.ports.encoder_tuner import Preflight
from fusionapp.domain.embeddings import Json
from fusionapp.domain.recipe import TrainingRecipe


class TunableEncoder(Protocol):
    """An encoder with trained weights, an optimiser for them, and the texts that it reads."""

    @property
    def preflight(self) -> Preflight:
        """What is trained of it."""

    def read(self, split: str, texts: Sequence[str]) -> None:
        """Tokenise a split's texts and keep them under its name.

        Raises:
            UsageError: a text has no token.
        """

    def backward(
        self, split: str, rows: NDArray[np.int64], loss: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Add the gradient of a loss over some rows' embeddings to the trained weights.

        Args:
            split: of the texts.
            rows: (rows,) which of them.
            loss: takes (rows, layers, dim) float32 without a graph, and returns a value and its gradient by them.

        Returns:
            The value.
        """

    def step(self, rate: float) -> float:
        """Step by the gradients there are, clipped, and clear them; none is taken by what is not finite.

        Returns:
            The gradient's length before clipping.
        """

    def embed(self, split: str) -> Tensor:
        """(texts, layers, dim) float32 of a whole split on the encoder's device, without a graph."""

    def state(self) -> Mapping[str, Tensor]:
        """Copies of the trained tensors, on the CPU."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""

    def save(self, directory: str) -> Mapping[str, Json]:
        """Write ``directory/model``; the keys of an encoder's table by which it is read in the same way."""


OpenTunable = Callable[[str, TrainingRecipe, int], TunableEncoder]
"""Opens one of an experiment's encoders by its name, for a recipe and a seed."""
