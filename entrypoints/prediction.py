"""Trained models, ready for new texts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.services.classify_texts import Prediction
from fusionapp.application.services.fit_linear_path import LINEAR_PATH
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.entrypoints.experiment.kinds import refuse_other_run
from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.session import build_encoders, open_session


@attrs.frozen(eq=False)
class Classifier:
    """A trained model.

    Attributes:
        encoders: by name.
        heads: directories of the heads; several are an ensemble.
        classes: labels in the order of class indices.
        path: directory of the linear path that the heads add to; None without one.
        classify: the use case behind `predict`.
    """

    encoders: Mapping[str, Encoder]
    heads: Sequence[str]
    classes: Sequence[str]
    path: str | None
    classify: Any = attrs.field(repr=False)

    def predict(self, texts: Sequence[str], batch_size: int = 1024) -> list[Prediction]:
        """Each text's label and class probabilities, in input order.

        Raises:
            UsageError: a text is blank, `texts` is a single string, or `batch_size` is not positive.
        """
        return list(self.stream(texts, batch_size))

    def stream(self, texts: Iterable[str], batch_size: int = 1024) -> Iterator[Prediction]:
        """The same, a batch at a time as the texts come, for more of them than memory holds."""
        if isinstance(texts, str):
            raise UsageError("predict: expected a list of texts, got one string; write [text]")
        if batch_size < 1:
            raise UsageError(f"predict: batch_size {batch_size} is not positive; use 1024")
        predictions: Iterator[Prediction] = self.classify(
            texts, self.encoders, self.heads, self.classes, self.path, batch_size
        )
        return predictions


def load(directory: str | os.PathLike[str], device: str = "auto") -> Classifier:
    """A trained model: ``runs/NAME`` is the ensemble of its seeds, ``runs/NAME/models/seed-K`` one of them.

    Args:
        directory: a run directory or a model directory.
        device: where heads and encoders run.

    Raises:
        UsageError: there is no model.
        CorruptArtifactError: the model, or an encoder that it was trained with, is not what it was.
    """
    place = Path(directory)
    saved = find_heads(place)
    heads, model = saved.heads, saved.model
    _refuse_imported(place, model)
    session = open_session(Experiment(train=TrainingRecipe(device=device)), run=place, quiet=True)
    settings = {
        name: {**encoder["settings"], **({"device": device} if "device" in encoder["settings"] else {})}
        for name, encoder in model["encoders"].items()
    }
    encoders = build_encoders(session.gateways, settings)
    for name, encoder in encoders.items():
        check_identity(name, encoder, model["encoders"][name]["identity"])
    return Classifier(encoders, heads, list(model["classes"]), saved.path, session.services.classify())


@attrs.frozen(eq=False)
class SavedHeads:
    """Where a trained model's parts stand.

    Attributes:
        heads: directories of the heads; several are an ensemble.
        model: the content of the first one's ``model.json``.
        path: directory of the linear path that they add to; None without one.
    """

    heads: Sequence[str]
    model: Mapping[str, Any]
    path: str | None


def find_heads(place: Path) -> SavedHeads:
    """The heads of a run directory or a model directory.

    Raises:
        UsageError: there is no model, or it is a retrieval run.
        CorruptArtifactError: a document of it is broken.
    """
    refuse_other_run(place)
    heads = _head_directories(place)
    model = dict(read_json(heads[0] / "model.json", "classes", "encoders", "linear_path"))
    model["encoders"] = {name: _located(one, heads[0]) for name, one in model["encoders"].items()}
    return SavedHeads(
        [str(head) for head in heads], model, _beside(heads[0]) if model["linear_path"] else None
    )


def _located(encoder: Mapping[str, Any], head: Path) -> Mapping[str, Any]:
    """An encoder's entry in ``model.json``; where the run tuned it, with its place in the run directory."""
    if not encoder.get("tuned"):
        return encoder
    model = str(encoder["settings"]["model"])
    run = next((place for place in head.resolve().parents if (place / model).is_dir()), None)
    if run is None:
        raise CorruptArtifactError(f"{head}: the tuned encoder {model} is gone from its run; train again")
    return {**encoder, "settings": {**encoder["settings"], "model": str(run / model)}}


def _head_directories(place: Path) -> list[Path]:
    if (place / "model.json").is_file():
        return [place]
    trained = place / "models" / "trained.json"
    rounds = place / "protocol" / "trained.json"
    if rounds.is_file():
        one = place / "protocol" / str(read_json(rounds, "rounds")["rounds"][0]["name"])
        raise UsageError(
            f"{place}: a k-fold or few-shot run has a model for each round, such as {one}, and no single one; "
            "name a round's, or train without dataset.folds and dataset.shots under another name"
        )
    if not trained.is_file():
        raise UsageError(f"{place}: neither a trained run nor a model; run `fusionapp train` first")
    heads = read_json(trained, "heads")["heads"]
    if not heads:
        raise UsageError(f"{place}: its training was cut short; run `fusionapp train` again")
    return [place / "models" / f"seed-{int(head['seed'])}" for head in heads]


def _beside(head: Path) -> str:
    """The path of a head's group, whose directory "." or ".." only shows as an absolute one."""
    return str(head.resolve().parent / LINEAR_PATH)


def read_json(path: Path, *keys: str) -> Mapping[str, Any]:
    """A document of a model.

    Raises:
        CorruptArtifactError: it cannot be read, or lacks one of the keys.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{path}: cannot be read as JSON; train again") from error
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise CorruptArtifactError(f"{path}: lacks {', '.join(keys)}; train again")
    return content


def _refuse_imported(place: Path, model: Mapping[str, Any]) -> None:
    for name, encoder in model["encoders"].items():
        if encoder["settings"].get("adapter") == "imported":
            raise UsageError(
                f"{place}: the embeddings of encoder {name!r} were imported, and there is no model to embed new "
                "texts with; `fusionapp export model` gives a graph over embeddings, or train with the model"
            )


def check_identity(name: str, encoder: Encoder, trained_with: Mapping[str, Any]) -> None:
    """Refuse an encoder that is not the one that a model was trained with.

    Raises:
        CorruptArtifactError: it is not; names what changed.
    """
    current = json.loads(json.dumps(dict(encoder.identity)))
    changed = sorted(key for key in {*current, *trained_with} if current.get(key) != trained_with.get(key))
    if changed:
        raise CorruptArtifactError(
            f"encoder {name!r} is not the one that this model was trained with (changed: {', '.join(changed)}); "
            "restore it, or train again"
        )
