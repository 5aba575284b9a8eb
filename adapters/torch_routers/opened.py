"""Saved routers, opened as one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.torch_routers.artefact import (
    WEIGHTS_FILE,
    Arrays,
    RouterCard,
    load_router,
    part,
)
from fusionapp.adapters.torch_routers.network import RouterNetwork
from fusionapp.adapters.torch_routers.rows import base_logits, prompt_columns
from fusionapp.adapters.torch_routers.share import joined
from fusionapp.adapters.torch_routers.stacked import load_state
from fusionapp.adapters.torch_routers.training import score_all
from fusionapp.adapters.torch_shared.router_inputs import check_inputs, dense_width, text_features
from fusionapp.application.ports.router import Prompts, Router, Routers
from fusionapp.application.ports.router_base import RouterBase, RouterBases
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.features import FEATURES
from fusionapp.domain.routing.success import Isotonic, Temperature
from fusionapp.domain.standardization import Standardization

Floats = NDArray[np.float32]
Calibration = Callable[[Floats], Floats]
_CELLS_AT_ONCE = 2**24
"""Numbers of what networks read, in memory at once: 64 MiB."""


@attrs.frozen(eq=False)
class OpenedRouter:
    """One seed's router.

    Attributes:
        card: what it is.
        network: ready to score, a stack of one; None where its share is 0.
        features: of the text, as train had them; None where the router reads none.
        calibration: from scores to success.
        base: which of the ensemble's bases is its own; None without one.
        width: columns of a prompt that its network reads.
    """

    card: RouterCard
    network: RouterNetwork | None
    features: Standardization | None
    calibration: Calibration
    base: int | None
    width: int

    @property
    def reads(self) -> Hashable:
        """What its columns hang on: routers that read alike share them."""
        if self.features is None:
            return self.card.inputs
        return (self.card.inputs, self.features.mean.tobytes(), self.features.deviation.tobytes())

    def score(self, columns: Tensor | None, base: Floats) -> Floats:
        """(prompts, models) in [-1, 1].

        Args:
            columns: (prompts, width) of its network; None where it has none.
            base: (prompts, models) logits of its base; 0 without one.
        """
        if self.network is None or columns is None:
            return joined(base, np.zeros_like(base), 0.0)
        return joined(base, score_all(self.network, columns)[0].numpy(), self.card.share)


@attrs.frozen(eq=False)
class RouterEnsemble(Router):
    """Routers over the same models; their scores, and their calibrated success, are means.

    Attributes:
        models: names.
        members: the routers.
        bases: each distinct base once.
    """

    models: Sequence[str]
    members: Sequence[OpenedRouter]
    bases: Sequence[RouterBase]

    def score(self, prompts: Prompts) -> Floats:
        """See `Router.score`."""
        for member in self.members:
            check_inputs(member.card.inputs, prompts)
        read = any(member.features is not None for member in self.members)
        features = text_features(prompts.texts) if read else None
        bases = [base_logits(base.quality(prompts, features)) for base in self.bases]
        scores = np.empty((len(prompts.texts), len(self.models)), dtype=np.float32)
        at_once = max(1, _CELLS_AT_ONCE // max(1, *(member.width for member in self.members)))
        for start in range(0, len(scores), at_once):
            rows = slice(start, start + at_once)
            own = None if features is None else features[rows]
            scores[rows] = self._score(prompts.part(rows), own, [base[rows] for base in bases])
        return scores

    def _score(
        self, prompts: Prompts, features: Floats | None, bases: Sequence[Floats]
    ) -> NDArray[np.float64]:
        """The mean of all members; what several networks read is made once."""
        total = np.zeros((len(prompts.texts), len(self.models)))
        nothing = np.zeros(total.shape, dtype=np.float32)
        columns: dict[Hashable, Tensor] = {}
        alone: dict[int | None, Floats] = {}
        for member in self.members:
            base = nothing if member.base is None else bases[member.base]
            if member.network is not None:
                if member.reads not in columns:
                    made = prompt_columns(member.card.inputs, prompts, features, member.features)
                    columns[member.reads] = torch.from_numpy(made)
                total += member.score(columns[member.reads], base)
                continue
            if member.base not in alone:
                alone[member.base] = member.score(None, base)
            total += alone[member.base]
        return total / len(self.members)

    def success(self, scores: Floats) -> Floats:
        """See `Router.success`."""
        total = sum(member.calibration(scores).astype(np.float64) for member in self.members)
        return np.asarray(total / len(self.members), dtype=np.float32)


class TorchRouters(Routers):
    """Opens what `TorchRouterTrainer` saved; scoring is on the CPU."""

    def __init__(self, bases: RouterBases) -> None:
        """Args:
        bases: makes the routers' bases anew.
        """
        self._bases = bases

    def open(self, directories: Sequence[str]) -> RouterEnsemble:
        """See `Routers.open`."""
        if not directories:
            raise UsageError("routing: no router to open; train one first")
        loaded = [load_router(directory) for directory in directories]
        models = loaded[0][0].models
        for directory, (card, _) in zip(directories, loaded, strict=True):
            if card.models != models:
                raise UsageError(
                    f"routing: {directory} scores {', '.join(card.models)}, but {directories[0]} scores "
                    f"{', '.join(models)}; open routers over the same models"
                )
        bases: list[RouterBase] = []
        known: list[tuple[Any, Arrays]] = []
        members = []
        for directory, (card, numbers) in zip(directories, loaded, strict=True):
            place = str(Path(directory, WEIGHTS_FILE))
            number = None
            if card.base is not None:
                own = part(numbers, "base")
                number = next((i for i, (d, a) in enumerate(known) if d == card.base and _same(a, own)), None)
                if number is None:
                    number = len(bases)
                    bases.append(self._restore(card, own, place))
                    known.append((card.base, own))
            members.append(_open(card, numbers, place, number))
        return RouterEnsemble(models, members, bases)

    def _restore(self, card: RouterCard, numbers: Arrays, place: str) -> RouterBase:
        base = self._bases.restore(card.base, numbers, place)
        if tuple(base.models) != card.models:
            raise CorruptArtifactError(f"{place}: its base is over other models; train again")
        return base


def _same(first: Arrays, second: Arrays) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _open(card: RouterCard, numbers: Arrays, place: str, base: int | None) -> OpenedRouter:
    features = _features(card, numbers, place)
    width = dense_width(card.inputs)
    width += features.mean.shape[1] if features is not None else 0
    network = _network(card, part(numbers, "network"), width, place)
    return OpenedRouter(
        card, network if card.share else None, features, _calibration(card, numbers, place), base, width
    )


def _features(card: RouterCard, numbers: Arrays, place: str) -> Standardization | None:
    if not card.features:
        return None
    mean, deviation = (numbers.get(f"features.{name}") for name in ("mean", "deviation"))
    if (
        mean is None
        or deviation is None
        or mean.shape != (1, len(FEATURES))
        or mean.shape != deviation.shape
        or any(each.dtype != np.float32 for each in (mean, deviation))
        or not (deviation > 0).all()
    ):
        raise CorruptArtifactError(f"{place}: the means of its features are broken; train again")
    return Standardization(mean, deviation)


def _network(card: RouterCard, state: Arrays, width: int, place: str) -> RouterNetwork:
    models = torch.zeros(len(card.models), card.model_dim)
    with torch.device("meta"):
        network = RouterNetwork(card.score, width, models.to("meta"), card.hidden_dims, 0.0, False)
    expected = {name: tuple(value.shape[1:]) for name, value in network.state_dict().items()}
    found = {name: value.shape for name, value in state.items() if value.dtype == np.float32}
    if expected != found:
        wrong = sorted(n for n in expected.keys() | state.keys() if expected.get(n) != found.get(n))
        raise CorruptArtifactError(f"{place}: tensor {wrong[0]!r} does not fit the network; train again")
    load_state(network, {name: torch.from_numpy(value.copy()) for name, value in state.items()})
    return network.eval()


def _calibration(card: RouterCard, numbers: Arrays, place: str) -> Calibration:
    if card.calibration == "temperature":
        return Temperature(card.temperature)
    scores, success = (numbers.get(f"calibration.{name}") for name in ("scores", "success"))
    if (
        scores is None
        or success is None
        or scores.ndim != 1
        or scores.shape != success.shape
        or not len(scores)
        or (np.diff(scores) <= 0).any()
        or (np.diff(success) < 0).any()
        or not 0 <= success[0] <= success[-1] <= 1
    ):
        raise CorruptArtifactError(f"{place}: its calibration is no rising line; train again")
    return Isotonic(scores, success)
