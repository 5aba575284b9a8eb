"""What an extraction leaves beside its store: a file of each encoder in each format asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.guard_experiment import RESOLVED
from fusionapp.domain.catalogue import find_card
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.entrypoints.experiment.load import plain_name
from fusionapp.entrypoints.export_formats import fitting_formats
from fusionapp.entrypoints.inspection import open_run
from fusionapp.entrypoints.text_batches import texts_in_batch

logger = logging.getLogger(__name__)

RECORD = "exports.json"
TAKEN = ("embeddings", "experiment", "environment", "exports", "search")
"""Names of the run directory's own ``.json`` files, which a model's metadata must not take."""


@attrs.frozen
class Exported:
    """The files of one encoder's embeddings of one split.

    Attributes:
        encoder: its name in the experiment.
        split: which split.
        files: their paths.
        written: whether they were written now, or stood there as they should.
    """

    encoder: str
    split: str
    files: Sequence[str]
    written: bool


def export_beside(run: Path, formats: Sequence[str]) -> list[Exported]:
    """Write every encoder's embeddings of every split into the run directory, unless they stand there.

    Dense embeddings are written in each of the formats but npz, sparse ones as npz, whatever is asked for. A file
    is named after the model, ``RUN/bge-large-en-v1.5.npy``, and after the split where there are several.

    Raises:
        UsageError: a set is not complete, or there is no format for an encoder.
        CorruptArtifactError: the store does not hold what was written there.
        ResourceError: the disk is full.
    """
    session, inventory = open_run(run)
    runs = session.gateways.runs()
    settings = (runs.read_document(RESOLVED) or {}).get("encoders", {})
    tables = {name: settings.get(name, {}) for name in inventory["encoders"]}
    exported = []
    with runs.lock():
        record = earlier_exports(runs)
        for encoder, stem in file_names(tables).items():
            described = inventory["encoders"][encoder]
            fitting = fitting_formats(formats, described["sparse"], encoder)
            for split in described["sets"]:
                name = stem if len(described["sets"]) == 1 else f"{stem}.{split}"
                kept = _keep(record.get(name), fitting)
                more = _of_predecessor(tables[encoder], session, described["sets"][split], stem)
                path, model = str(run / name), _model(tables[encoder], encoder)
                files = session.services.export()(inventory, encoder, split, kept, path, model, more)
                record[name] = kept.record
                runs.write_document(RECORD, record)
                exported.append(Exported(encoder, split, list(files), kept.written))
                logger.info(
                    "%s %s: %s %s",
                    encoder,
                    split,
                    "wrote" if kept.written else "left as it is:",
                    ", ".join(files),
                )
    return exported


def earlier_exports(runs: RunStore) -> dict[str, Any]:
    """What earlier calls recorded of their files; nothing where the record is none: all is written anew."""
    try:
        found = runs.read_document(RECORD)
    except CorruptArtifactError:
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {name: one for name, one in known if isinstance(one, dict)}


def file_names(encoders: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What each encoder's files are called: the last part of its model's hub id or directory.

    Of several with the same last part the first keeps it, and the next are numbered: ``model``, ``model-2``.

    Args:
        encoders: by name, their settings as plain values.
    """
    names: dict[str, str] = {}
    taken = {*TAKEN}
    for encoder, table in encoders.items():
        stem = plain_name(_model(table, encoder))
        name, count = stem, 1
        while name.lower() in taken:  # some file systems ignore case
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.lower())
        names[encoder] = name
    return names


def _model(table: Mapping[str, Any], encoder: str) -> str:
    """The model as its hub or its directory calls it; the encoder's own name where there is no model."""
    model = table.get("model")
    if not model:
        return encoder
    card = find_card(model) if table.get("adapter", "huggingface") != "openai" else None
    if card is not None:
        return card.model
    place = Path(model)
    return str(place.resolve()) if place.name in ("", ".", "..") else str(model)


def _keep(record: Mapping[str, Any] | None, formats: Sequence[str]) -> Any:
    from fusionapp.adapters.exports.embedding_files import EmbeddingFileSet
    from fusionapp.adapters.exports.kept_files import KeptEmbeddingFiles

    return KeptEmbeddingFiles(EmbeddingFileSet(formats), record)


def _of_predecessor(
    table: Mapping[str, Any], session: Any, place: Mapping[str, Any], stem: str
) -> dict[str, Any]:
    """Metadata under the names that scripts around older embedding pipelines read, beside our own names."""
    stored = session.gateways.store().read(place["key"])
    if stored is None:  # the export says it
        return {}
    return {
        "model": stem,
        "num_paragraphs": stored.status().durable_rows,
        "processing_time": place.get("seconds") or None,
        "batch_size": texts_in_batch(table, stored.header.plan.batch_tokens),
    }
