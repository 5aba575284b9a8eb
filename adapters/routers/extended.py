"""A router with models that entered by probes: none of the files that it was trained into changes."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from math import isfinite
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from cattrs import Converter
from numpy.typing import NDArray

from fusionapp.adapters.torch_shared.artefacts import write_whole
from fusionapp.adapters.torch_shared.described import read_described
from fusionapp.application.ports.router import Prompts, Router
from fusionapp.domain.errors import CorruptArtifactError, ResourceError, UsageError
from fusionapp.domain.routing.mapping import quality_of_score, score_of_quality
from fusionapp.domain.routing.newcomers import Newcomer, fit_newcomer

FILE = "newcomers.json"
FORMAT = 1
Floats = NDArray[np.float32]
_CONVERTER = Converter(forbid_extra_keys=True)


@attrs.frozen
class _Entry:
    name: str
    level: float
    centre: tuple[float, ...]
    weights: tuple[float, ...]
    probes: int
    penalty: float


@attrs.frozen
class _Entries:
    models: tuple[str, ...]
    newcomers: tuple[_Entry, ...]
    format: int = FORMAT


@attrs.frozen(eq=False)
class ExtendedRouter(Router):
    """Known models as the router scores them, then newcomers, each a mixture of the known ones.

    Attributes:
        router: as trained.
        newcomers: in the order of their columns.
    """

    router: Router
    newcomers: Sequence[Newcomer]

    @property
    def models(self) -> Sequence[str]:
        """See `Router.models`."""
        return (*self.router.models, *(newcomer.name for newcomer in self.newcomers))

    def score(self, prompts: Prompts) -> Floats:
        """See `Router.score`."""
        known = self.router.score(prompts)
        quality = quality_of_score(known)
        added = [score_of_quality(newcomer(quality)) for newcomer in self.newcomers]
        return np.column_stack([known, *added]).astype(np.float32)

    def success(self, scores: Floats) -> Floats:
        """See `Router.success`; newcomers' scores are on the known models' scale."""
        return self.router.success(scores)


def add_model(router: Router, name: str, probes: Prompts, quality: NDArray[np.float64]) -> ExtendedRouter:
    """The router with one more model.

    Args:
        router: trained; one that was extended before keeps its newcomers.
        name: of the new model.
        probes: prompts that it was asked.
        quality: (probes,) of its answers, in [0, 1]; NaN where it gave none.

    Raises:
        UsageError: a model of that name is there, a quality lies outside [0, 1], or nothing was answered.
    """
    if name in router.models:
        raise UsageError(f"cold start: the router scores {name!r} already; name another model")
    if ((quality < 0) | (quality > 1)).any():
        raise UsageError(f"cold start of {name!r}: qualities must lie in [0, 1]; scale them")
    trained, before = (
        (router.router, router.newcomers) if isinstance(router, ExtendedRouter) else (router, ())
    )
    newcomer = fit_newcomer(name, quality_of_score(trained.score(probes)), quality)
    return ExtendedRouter(trained, (*before, newcomer))


def save_newcomers(directory: str, router: ExtendedRouter) -> None:
    """Write ``newcomers.json``, whole or not at all.

    Raises:
        ResourceError: the directory cannot be written to.
    """
    entries = [
        _Entry(n.name, n.level, tuple(n.centre.tolist()), tuple(n.weights.tolist()), n.probes, n.penalty)
        for n in router.newcomers
    ]
    card: dict[str, Any] = attrs.asdict(_Entries(tuple(router.router.models), tuple(entries)))
    path = Path(directory, FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (dumps(card, indent=2) + "\n").encode())
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror}); free space or permit it"
        ) from error


def load_newcomers(directory: str, router: Router) -> Router:
    """The router with the newcomers of a directory; the router itself where there are none.

    Raises:
        CorruptArtifactError: the file is unreadable, or was written for a router over other models.
    """
    path = Path(directory, FILE)
    if not path.exists():
        return router
    entries = read_described(path, "list of newcomers", FORMAT, _Entries, _CONVERTER)
    models = tuple(router.models)
    names = [*models, *(entry.name for entry in entries.newcomers)]
    if entries.models != models or len(set(names)) < len(names):
        raise CorruptArtifactError(
            f"{path}: was written for a router over other models; add the models again"
        )
    for entry in entries.newcomers:
        numbers = [entry.level, *entry.centre, *entry.weights]
        if not len(entry.centre) == len(entry.weights) == len(models) or not all(map(isfinite, numbers)):
            raise CorruptArtifactError(f"{path}: {entry.name!r} is no mixture of the models; add it again")
    newcomers = [
        Newcomer(e.name, e.level, np.array(e.centre), np.array(e.weights), e.probes, e.penalty)
        for e in entries.newcomers
    ]
    return ExtendedRouter(router, newcomers)
