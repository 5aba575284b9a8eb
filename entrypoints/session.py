"""One experiment with everything wired behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import attrs

from fusionapp.adapters.machine.packages import refuse_conflicts
from fusionapp.application.ports.encoder import Encoder
from fusionapp.entrypoints.containers import Application
from fusionapp.entrypoints.experiment.environment import Environment, read_environment
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.experiment.structure import ENCODERS, structure_encoder, unstructure


@attrs.frozen
class Session:
    """An experiment and the container built for it.

    Attributes:
        experiment: what is to be done.
        resolved: the same as plain JSON values.
        container: adapters and services.
        tuned: tables of the encoders that the run tuned, which take the place of the experiment's.
    """

    experiment: Experiment
    resolved: Mapping[str, Any]
    container: Application
    tuned: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

    @property
    def encoder_tables(self) -> dict[str, Mapping[str, Any]]:
        """Every encoder's table as plain values, in file order."""
        return {name: self.tuned.get(name, table) for name, table in self.resolved["encoders"].items()}

    @property
    def quiet(self) -> bool:
        """Whether progress bars are hidden."""
        return bool(self.container.config.quiet())

    @property
    def services(self) -> Any:
        """The use cases (dependency-injector types them as Any; a test builds every one)."""
        return self.container.services

    @property
    def gateways(self) -> Any:
        """The adapters."""
        return self.container.gateways

    def encoders(self, token_folder: str | None = None) -> dict[str, Encoder]:
        """The experiment's encoders by name, in file order; no weights are loaded.

        Args:
            token_folder: where those with the same tokenizer share their tokens; None where they share none.
        """
        return build_encoders(self.gateways, self.encoder_tables, token_folder)

    @contextmanager
    def token_folder(self) -> Iterator[str | None]:
        """A folder for shared tokens where several transformers run, gone when it is left; else None."""
        adapters = [table["adapter"] for table in self.resolved["encoders"].values()]
        if adapters.count("huggingface") < 2:
            yield None
            return
        folder = Path(self.gateways.runs().directory) / "tokens"
        rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir(parents=True)
        try:
            yield str(folder)
        finally:
            rmtree(folder, ignore_errors=True)

    def root_beside_run(self) -> str:
        """The storage root as seen from the run directory, so that both can be moved together."""
        return root_beside(self.experiment.storage.root, self.gateways.runs().directory)

    @property
    def seeds(self) -> list[int]:
        """seed ... seed + n - 1."""
        return list(range(self.experiment.seed, self.experiment.seed + self.experiment.train.seeds))


def open_session(
    experiment: Experiment,
    runs: str | os.PathLike[str] = "runs",
    quiet: bool = False,
    run: Path | None = None,
) -> Session:
    """Wire an experiment.

    Args:
        experiment: what is to be done.
        runs: directory of run directories.
        quiet: show no progress bars.
        run: the run directory, where it is not ``runs/NAME``.

    Raises:
        UsageError: installed packages exclude each other.
    """
    refuse_conflicts()
    resolved = unstructure(experiment)
    run = run or Path(runs) / experiment.name
    container = Application()
    container.config.from_dict(run_settings(resolved, run, quiet, read_environment()))
    return Session(experiment, resolved, container)


def run_settings(
    resolved: Mapping[str, Any], run: Path, quiet: bool, environment: Environment
) -> dict[str, Any]:
    """What a container is configured with."""
    return {
        "experiment": resolved,
        "run": str(run),
        "spool": str(run / "spool"),
        "quiet": quiet,
        "environment": attrs.asdict(environment),
    }


def root_beside(root: str, run: str) -> str:
    """A storage root as seen from a run directory; an absolute one stays as it is."""
    return root if Path(root).is_absolute() else os.path.relpath(root, run)


def build_encoders(
    gateways: Any, settings: Mapping[str, Mapping[str, Any]], token_folder: str | None = None
) -> dict[str, Encoder]:
    """Encoders by name from their plain settings."""
    shared = {"huggingface": {"token_folder": token_folder}}
    return {
        name: gateways.encoder(table["adapter"], dict(table), **shared.get(table["adapter"], {}))
        if table["adapter"] in ENCODERS
        else structure_encoder(table).build()
        for name, table in settings.items()
    }
