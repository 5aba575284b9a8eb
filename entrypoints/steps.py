"""The steps that commands are made of, each over an open session."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusionapp.adapters.machine.packages import installed_versions
from fusionapp.application.services.extract_dataset import Extraction
from fusionapp.application.services.guard_experiment import differences
from fusionapp.application.services.prepare_classification import ClassificationData
from fusionapp.application.services.read_splits import OnEmpty
from fusionapp.application.services.train_classifier import MODELS, TRAINED, Training
from fusionapp.application.services.train_rounds import ROUNDS
from fusionapp.domain.embeddings import fingerprint
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.environment import read_environment
from fusionapp.entrypoints.experiment.load import Source, load_experiment, runs_directory
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.protocols import follows_protocol
from fusionapp.entrypoints.searching import with_decided_settings
from fusionapp.entrypoints.session import Session, open_session
from fusionapp.entrypoints.tuned_encoders import with_tuned_encoders
from fusionapp.entrypoints.weights import hash_weights

logger = logging.getLogger(__name__)

Directory = str | os.PathLike[str]


def open_experiment(
    experiment: Source, runs: Directory, quiet: bool, run: Directory | None = None
) -> Session:
    """An experiment wired, by what its run's search decided on, with the encoders that the run tuned.

    Args:
        experiment: a path, a dict or an `Experiment`.
        runs: directory of run directories.
        quiet: show no progress bars.
        run: the run directory, where it is not ``runs/NAME``.

    Raises:
        UsageError: the file cannot be read.
        ConfigurationError: it describes no experiment.
    """
    settings = load_experiment(experiment, defaults=read_environment().defaults())
    place = None if run is None else Path(run)
    session = open_session(settings, runs_directory(experiment, runs), quiet, place)
    return with_tuned_encoders(with_decided_settings(session))


def extract_embeddings(
    session: Session, splits: Sequence[str] = (), limit: int | None = None, on_empty: OnEmpty = "error"
) -> Extraction:
    """Embed what is missing, and warn of texts that stand in several splits; arguments as of `api.extract`."""
    storage = session.experiment.storage
    with session.token_folder() as token_folder:
        extraction: Extraction = session.services.extract_dataset()(
            encoders=session.encoders(token_folder),
            storage={"adapter": storage.adapter, "root": session.root_beside_run()},
            shard_rows=storage.shard_rows,
            splits=splits,
            limit=limit,
            on_empty=on_empty,
            versions=installed_versions(),
        )
    for pair, count in extraction.shared.counts.items():
        if not (session.experiment.dataset.drop_duplicates and "train" in pair):
            logger.warning(
                "%d distinct texts stand in %s and in %s (dataset.drop_duplicates = true removes them from train)",
                count,
                *pair,
            )
    return extraction


def carry(session: Session, extraction: Extraction) -> dict[str, Any]:
    """What makes a trained head what it is, beside its weights: encoders, data and settings."""
    encoders = {
        name: {"settings": session.resolved["encoders"][name], "identity": encoder["identity"]}
        for name, encoder in extraction.inventory["encoders"].items()
    }
    for name, table in session.tuned.items():
        # Their place is said from the run directory on, so that it can be moved.
        model = Path(table["model"]).relative_to(session.gateways.runs().directory).as_posix()
        encoders[name] |= {"settings": {**table, "model": model}, "tuned": True}
    data = {
        split: [place["texts_sha256"], place["labels_sha256"]]
        for split, place in extraction.inventory["splits"].items()
        if split in ("train", "validation")
    }
    settings = {key: session.resolved[key] for key in ("seed", "fusion", "train")}
    dropped = extraction.shared.train_rows.tolist() if session.experiment.dataset.drop_duplicates else []
    return {
        "encoders": encoders,
        "order": list(encoders),
        "data": data,
        "dropped_duplicates": {"rows": len(dropped), "sha256": fingerprint({"rows": dropped})},
        "settings": settings,
    }


def trained_with(session: Session) -> Any:
    """What the run's heads carry (see `carry`), or None where it has none."""
    trained = ROUNDS if follows_protocol(session.experiment) else f"models/{TRAINED}"
    found = session.gateways.runs().read_document(trained)
    return None if found is None else found["carried"]


def refuse_unlabelled(experiment: Experiment) -> None:
    """Refuse to train on texts that have no labels, before anything is encoded.

    Raises:
        UsageError: the dataset is such texts.
    """
    if experiment.dataset.texts is not None:
        raise UsageError(
            "dataset.texts: these texts have no labels, and training needs them; name dataset.train instead"
        )


def refuse_untrained(session: Session, carried: Mapping[str, Any] | None = None) -> None:
    """Refuse a run without heads and, where `carried` is known, one with others than it asks for.

    Raises:
        UsageError: it is such a run.
    """
    found = trained_with(session)
    if found is None:
        raise UsageError(f"{session.gateways.runs().directory} is not trained; run `fusionapp train` first")
    if carried is not None and any(differences(found, carried)):
        raise UsageError(
            f"{session.gateways.runs().directory} was trained on other data or by other settings; "
            "run `fusionapp train --overwrite`"
        )


def prepare_data(session: Session, extraction: Extraction) -> ClassificationData:
    """The rows to train and to choose on.

    Raises:
        UsageError: there is no train split.
        DatasetError: a row has no label, one class alone is left, or validation has a class that train lacks.
    """
    gather = session.services.gather()
    splits = extraction.inventory["splits"]
    if "train" not in splits:
        raise UsageError(f"the dataset has no train split (it has {', '.join(splits)})")
    drop = session.experiment.dataset.drop_duplicates
    data: ClassificationData = session.services.prepare()(
        gather(extraction.inventory, "train"),
        gather(extraction.inventory, "validation") if "validation" in splits else None,
        extraction.shared.train_rows if drop else np.empty(0, dtype=np.int64),
    )
    return data


def train_heads(
    session: Session, data: ClassificationData, carried: Mapping[str, Any], overwrite: bool = False
) -> Training:
    """The run's own heads, trained now or found.

    Raises:
        CorruptArtifactError: they were found and were changed since, and `overwrite` is not set.
    """
    settings = session.experiment
    training: Training = session.services.train()(
        MODELS, settings.fusion, settings.train, session.seeds, data, carried, overwrite=overwrite
    )
    return training


def evaluation_basis(session: Session, extraction: Extraction, split: str) -> str:
    """A fingerprint of everything that an evaluation's numbers depend on."""
    return fingerprint(
        {
            "carried": trained_with(session),
            "weights": hash_weights(session.gateways.runs(), "models", session.seeds),
            "split": split,
            "data": extraction.inventory["splits"][split],
            "evaluate": session.resolved["evaluate"],
        }
    )
