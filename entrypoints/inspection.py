"""Looking at what is there: plans, status, verification, exports, comparisons. Nothing is encoded or trained."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fusionapp.application.ports.embedding_store import Problem
from fusionapp.application.ports.head_exporter import ExportedGraph
from fusionapp.application.services.compare_runs import Comparison
from fusionapp.application.services.export_embeddings import only
from fusionapp.application.services.guard_experiment import RESOLVED
from fusionapp.application.services.inventories import INVENTORY
from fusionapp.application.services.plan_extraction import PlannedSet
from fusionapp.application.services.read_splits import OnEmpty
from fusionapp.application.services.report_status import ExtractionStatus
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.kinds import refuse_other_run
from fusionapp.entrypoints.experiment.schema import Experiment, StorageSettings
from fusionapp.entrypoints.inventory import FORMATS, check_inventory
from fusionapp.entrypoints.session import Session, open_session
from fusionapp.entrypoints.tuned_encoders import FROZEN


def plan(
    experiment: Experiment, splits: Sequence[str] = (), limit: int | None = None, on_empty: OnEmpty = "error"
) -> list[PlannedSet]:
    """What `extract` would do. The input is read and tokens are counted on a sample; nothing is kept."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as scratch:
        session = open_session(experiment, scratch)
        planned: list[PlannedSet] = session.services.plan()(
            session.encoders(), experiment.storage.shard_rows, splits, limit, on_empty
        )
        return planned


def status(run: Path) -> ExtractionStatus:
    """How far the extraction of a run has come.

    Raises:
        UsageError: nothing was extracted there.
    """
    session, inventory = open_run(run)
    found: ExtractionStatus = session.services.status()(inventory)
    return found


def verify(directory: Path) -> list[Problem]:
    """Everything in a run directory, or under a storage root, that is not what was written.

    Raises:
        UsageError: the directory is neither.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; name a run directory or a storage root")
    if (directory / INVENTORY).exists() or (directory / "experiment.json").exists():
        return _verify_run(directory)
    problems: list[Problem] = []
    found: list[Literal["npy", "parquet"]] = [form for form in FORMATS if (directory / form).is_dir()]
    if not found:
        raise UsageError(f"{directory}: neither a run directory nor a storage root")
    for form in found:
        session = _session(StorageSettings(adapter=form, root=str(directory)))
        problems += session.services.verify()(None)
    return problems


def _verify_run(run: Path) -> list[Problem]:
    """The run's own files first: an inventory that was changed leads nowhere."""
    gateways = _session(run=run).gateways
    problems = [*gateways.runs().verify(), *gateways.spool().verify()]
    if (run / INVENTORY).exists() and not any(problem.file == INVENTORY for problem in problems):
        session, inventory = open_run(run)
        problems += session.services.verify()(inventory)
    for place in sorted((run / "protocol").glob("*/")):
        found = _session(run=place).gateways.runs().verify()
        problems += [Problem(f"protocol/{place.name}/{one.file}", one.problem) for one in found]
    if (run / FROZEN).is_dir():
        problems += [Problem(f"{FROZEN}/{one.file}", one.problem) for one in _verify_run(run / FROZEN)]
    return problems


def export_embeddings(
    run: Path, encoder: str | None, split: str | None, form: str, output: Path
) -> Sequence[str]:
    """Write one encoder's embeddings of one split to a file; returns the paths written.

    `encoder` and `split` may be None where there is one alone.
    """
    from fusionapp.adapters.exports.embedding_files import FormattedEmbeddingFile

    session, inventory = open_run(run)
    encoder = only(encoder, inventory["encoders"], "encoder")
    resolved = session.gateways.runs().read_document(RESOLVED) or {}
    settings = resolved.get("encoders", {}).get(encoder, {})
    written: Sequence[str] = session.services.export()(
        inventory,
        encoder,
        split,
        FormattedEmbeddingFile(form),
        str(output),
        settings.get("model") or settings.get("adapter") or encoder,
    )
    return written


def export_model(place: Path, output: Path) -> ExportedGraph:
    """Write the heads of a run, or one of its models, as an ONNX graph.

    Raises:
        UsageError: there is no model or nothing stored to try the graph on, or it cannot be exported.
    """
    from fusionapp.entrypoints.prediction import find_heads

    saved = find_heads(place)
    session, inventory = open_run(_run_of(place))
    exported: ExportedGraph = session.services.export_classifier()(
        inventory,
        list(saved.model["encoders"]),
        saved.heads,
        list(saved.model["classes"]),
        saved.path,
        str(output),
    )
    return exported


def _run_of(place: Path) -> Path:
    """The run directory that a model stands in; the run itself where the model is one."""
    parents = [place, *place.resolve().parents[:3]]
    return next((parent for parent in parents if (parent / INVENTORY).exists()), place)


def compare(first: Path, second: Path, split: str = "test", draws: int = 10_000) -> Comparison:
    """Two evaluated classifications of the same texts."""
    for place in (first, second):
        refuse_other_run(place)
    sessions = [_session(run=place) for place in (first, second)]
    comparison: Comparison = sessions[0].services.compare()(
        *(session.gateways.runs() for session in sessions), split, draws
    )
    return comparison


def open_run(run: Path) -> tuple[Session, Mapping[str, Any]]:
    """A run's inventory, and a session over the store that it names.

    Raises:
        UsageError: nothing was extracted there.
        CorruptArtifactError: ``embeddings.json`` is not what was written.
    """
    inventory = _session(run=run).gateways.runs().read_document(INVENTORY)
    if inventory is None:
        raise UsageError(f"{run}: not a run directory (no {INVENTORY}); run `fusionapp extract` first")
    storage = check_inventory(run / INVENTORY, inventory)["storage"]
    # The root is kept relative to the run, so that both can be moved together.
    root = os.path.normpath(run / storage["root"])
    return _session(StorageSettings(adapter=storage["adapter"], root=root), run), inventory


def _session(storage: StorageSettings | None = None, run: Path | None = None) -> Session:
    if run is not None and not run.is_dir():
        raise UsageError(f"{run}: no such run directory")
    return open_session(Experiment(storage=storage or StorageSettings()), run=run, quiet=True)
