"""A trained router, ready for new prompts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.router import Prompts, Router
from fusionapp.application.services.encode_texts import encode_texts
from fusionapp.application.services.extend_router import ENSEMBLE
from fusionapp.application.services.route_prompts import Routed, Wish
from fusionapp.application.services.train_router import GROUP
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.expected_costs import ExpectedCosts
from fusionapp.domain.routing.policy import Policy
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.load import load_any
from fusionapp.entrypoints.prediction import check_identity, read_json
from fusionapp.entrypoints.routing.schema import PolicySettings, RoutingExperiment
from fusionapp.entrypoints.routing.session import RoutingSession, located, open_routing
from fusionapp.entrypoints.session import build_encoders


@attrs.frozen(eq=False)
class LoadedRouter:
    """A trained router.

    Attributes:
        encoders: by name.
        router: the ensemble of a run's seeds, or one of them.
        costs: what answers cost.
        policy: how the run's experiment chooses.
        steps: the use case behind `route`.
    """

    encoders: Mapping[str, Encoder]
    router: Router
    costs: ExpectedCosts
    policy: PolicySettings
    steps: Any = attrs.field(repr=False)

    @property
    def models(self) -> Sequence[str]:
        """The models that it knows."""
        return self.router.models

    def predict(self, prompts: Sequence[str], batch_size: int = 1024) -> dict[str, NDArray[np.float32]]:
        """(prompts,) scores in [-1, 1] by model, in input order.

        Raises:
            UsageError: a prompt is blank, or `prompts` is a single string.
        """
        _check(prompts, batch_size)
        parts = []
        for start in range(0, len(prompts), batch_size):
            batch = prompts[start : start + batch_size]
            parts.append(self.router.score(Prompts(batch, encode_texts(batch, start, self.encoders))))
        scores = np.concatenate(parts) if parts else np.empty((0, len(self.models)), dtype=np.float32)
        return {model: scores[:, column].copy() for column, model in enumerate(self.models)}

    def route(self, prompts: Sequence[str], wish: Wish | None = None, batch_size: int = 1024) -> list[Routed]:
        """Where each prompt goes, in input order; by the experiment's policy where no other is asked for.

        Raises:
            UsageError: an unknown model, a blank prompt, or a price that the policy needs and nobody knows.
        """
        return list(self.stream(prompts, wish, batch_size))

    def stream(
        self, prompts: Iterable[str], wish: Wish | None = None, batch_size: int = 1024
    ) -> Iterator[Routed]:
        """The same, a batch at a time as the prompts come."""
        _check(prompts, batch_size)
        routed: Iterator[Routed] = self.steps(
            prompts, self.encoders, self.router, self.costs, wish or wish_of(self.policy), batch_size
        )
        return routed


def wish_of(policy: PolicySettings, limits: Mapping[str, float | None] | None = None) -> Wish:
    """An experiment's policy.

    Args:
        policy: the experiment's.
        limits: of `Policy`, which take the place of the experiment's where they are not None; of its min_quality
            and trade_off, which exclude each other, the one that stands here stays alone.

    Raises:
        UsageError: a limit without sense, or both of these two are given.
    """
    given = {key: value for key, value in (limits or {}).items() if value is not None}
    kept = {key: getattr(policy, key) for key in ("max_cost", "min_quality", "trade_off")}
    if {"min_quality", "trade_off"} & set(given):
        kept |= {"min_quality": None, "trade_off": None}
    return Wish(Policy(**{**kept, **given}), policy.fallback)


def load_router(directory: str | os.PathLike[str], device: str = "auto") -> LoadedRouter:
    """A trained router: ``runs/NAME`` is the ensemble of its seeds, ``runs/NAME/models/seed-K`` one of them.

    Args:
        directory: a run directory or a router's directory.
        device: where routers and encoders run.

    Raises:
        UsageError: there is no router.
        CorruptArtifactError: the router, or an encoder that it was trained with, is not what it was.
    """
    place = Path(directory)
    run, directories = find_routers(place)
    experiment = router_experiment(run)
    session = open_routing(
        attrs.evolve(experiment, train=attrs.evolve(experiment.train, device=device)), quiet=True, run=run
    )
    encoders = open_encoders(session, directories[0], device)
    router = session.gateways.routers().open([str(one) for one in directories])
    costs = session.services.load().costs()
    if (
        directories[0].resolve().parent == (run / GROUP).resolve()
    ):  # and not among those over an untuned encoder
        member = ENSEMBLE if directories[0] != place else place.resolve().name
        router, costs = session.services.extend()(router, member, costs)
    return LoadedRouter(encoders, router, costs, experiment.policy, session.services.route())


def router_experiment(run: Path) -> RoutingExperiment:
    """The experiment of a routing run.

    Raises:
        UsageError: the run is of another kind.
    """
    experiment = load_any(run, defaults=read_environment().defaults())
    if not isinstance(experiment, RoutingExperiment):
        raise UsageError(f'{run}: is of task.kind = "{experiment.task.kind}" and holds no router')
    return experiment


def open_encoders(session: RoutingSession, router: Path, device: str) -> dict[str, Encoder]:
    """The encoders that a run's router was trained with.

    Raises:
        CorruptArtifactError: one is not what it was.
    """
    model = read_json(router / "model.json", "models", "encoders")
    settings = {
        name: {**table, **({"device": device} if "device" in table else {})}
        for name, table in _encoder_tables(model["encoders"], Path(session.gateways.runs().directory)).items()
    }
    encoders = build_encoders(session.gateways, settings)
    for name, encoder in encoders.items():
        check_identity(name, encoder, model["encoders"][name]["identity"])
    return encoders


def is_router(directory: str | os.PathLike[str]) -> bool:
    """Whether a directory holds a router, or a run of them."""
    place = Path(directory)
    try:
        if (place / "model.json").is_file():
            return bool(read_json(place / "model.json").get("task") == "route")
        resolved = json.loads((place / "experiment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(resolved, dict) and (resolved.get("task") or {}).get("kind") == "route"


def find_routers(place: Path) -> tuple[Path, list[Path]]:
    """The run and the routers' directories, of a run's directory or of one router's.

    Raises:
        UsageError: there is no router.
    """
    if (place / "model.json").is_file():
        return place.resolve().parents[1], [place]
    trained = place / "models" / "trained.json"
    if not trained.is_file():
        raise UsageError(f"{place}: neither a trained run nor a router; run `fusionapp train` first")
    routers = read_json(trained, "routers")["routers"]
    if not routers:
        raise UsageError(f"{place}: its training was cut short; run `fusionapp train` again")
    return place, [place / "models" / f"seed-{int(router['seed'])}" for router in routers]


def _encoder_tables(encoders: Mapping[str, Any], run: Path) -> dict[str, dict[str, Any]]:
    """Encoders' tables as a router carries them; those that its run tuned stand in the run, wherever that is."""
    return {
        name: located(one["settings"], run) if one.get("tuned") else dict(one["settings"])
        for name, one in encoders.items()
    }


def _check(prompts: Any, batch_size: int) -> None:
    if isinstance(prompts, str):
        raise UsageError("route: expected a list of prompts, got one string; write [prompt]")
    if batch_size < 1:
        raise UsageError(f"route: batch_size {batch_size} is not positive; use 1024")
