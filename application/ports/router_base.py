"""What a router's network adds to: an estimate of every model's quality that is strong without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.router import AnsweredPrompts, Prompts
from fusionapp.domain.embeddings import Json


class RouterBase(Protocol):
    """A fitted estimate."""

    @property
    def models(self) -> Sequence[str]:
        """The models that it knows, in the order of columns."""

    def quality(self, prompts: Prompts, features: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """(prompts, models) expected quality in [0, 1].

        Args:
            prompts: texts and their embeddings.
            features: (prompts, features) of `prompt_features`; None where it was fitted without.

        Raises:
            UsageError: an embedding that it was fitted on is missing, or has another width; or features are.
        """

    def numbers(self) -> Mapping[str, NDArray[Any]]:
        """Its arrays, for safetensors."""

    def describe(self) -> Json:
        """All else that is needed to make it anew from its arrays, for a JSON file."""


class FittedBase(Protocol):
    """A base with what it says of the prompts that it was fitted on."""

    @property
    def base(self) -> RouterBase:
        """Ready for other prompts."""

    @property
    def left_out(self) -> NDArray[np.float32]:
        """(prompts, models) quality in [0, 1] of each train prompt by estimates fitted without its answers.

        Their settings, such as penalties and how much each has to say, are those of all prompts.
        """


class RouterBases(Protocol):
    """Fits bases and makes them anew."""

    def fit(self, train: AnsweredPrompts, features: NDArray[np.float32] | None = None) -> FittedBase:
        """Fit on train alone; the same train gives the same base.

        Args:
            train: prompts and their answers.
            features: (prompts, features) of `prompt_features` of train's texts; None for a base that reads none.

        Raises:
            UsageError: fewer than two prompts, a model without a known quality, numbers that are not finite, or
                neither dense embeddings nor features.
            ResourceError: it does not fit in memory.
        """

    def restore(self, description: Json, numbers: Mapping[str, NDArray[Any]], place: str) -> RouterBase:
        """What `RouterBase.describe` and `numbers` gave.

        Args:
            description: as read from JSON.
            numbers: as read from safetensors.
            place: of the files, for messages.

        Raises:
            CorruptArtifactError: they make no base.
        """
