"""One file of embeddings taken into the store, for an experiment that is to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from fusionapp.application.services.extract_dataset import Extraction
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.structure import structure
from fusionapp.entrypoints.gateways import SPLITS
from fusionapp.entrypoints.session import build_encoders, open_session


@attrs.frozen
class Imported:
    """What an import left behind.

    Attributes:
        encoder: its name.
        split: which split.
        directory: where the set stands in the store.
        rows: texts, each with its embedding.
        layers: of each embedding.
        dim: numbers in a layer.
        toml: the encoder's table for an experiment file.
    """

    encoder: str
    split: str
    directory: str
    rows: int
    layers: int
    dim: int
    toml: str


def import_embeddings(
    content: Mapping[str, Any],
    file: Path,
    split: str,
    name: str,
    model: str | None = None,
    quiet: bool = False,
) -> Imported:
    """Check a file against the texts of a split, and store it as an encoder's embeddings of that split.

    Args:
        content: the experiment as a plain dict; it names dataset and storage, and may hold the encoder's table.
        file: the matrix; row i is the embedding of text i.
        split: which split.
        name: the encoder's name.
        model: what made the vectors, where the table does not say it.
        quiet: show no progress bar.

    Raises:
        ConfigurationError: the experiment has problems.
        UsageError: rows and texts differ in number, a number is not finite, or the file cannot be read.
    """
    if split not in SPLITS:
        raise UsageError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    table = _table(content, name) | {"adapter": "imported", split: str(file)}
    table |= {"model": model} if model is not None else {}
    experiment = structure({**content, "encoders": {**(content.get("encoders") or {}), name: table}})
    with TemporaryDirectory(prefix="fusionapp-") as scratch:
        session = open_session(experiment, quiet=quiet, run=Path(scratch))
        # This split's file alone: those of others may not be there yet.
        only_this = {**session.resolved["encoders"][name], **dict.fromkeys(set(SPLITS) - {split})}
        extraction: Extraction = session.services.extract_dataset()(
            encoders=build_encoders(session.gateways, {name: only_this}),
            storage={"adapter": experiment.storage.adapter, "root": session.root_beside_run()},
            shard_rows=experiment.storage.shard_rows,
            splits=[split],
            on_empty="quarantine",
        )
    (stored,) = extraction.sets[name]
    shape = stored.shape
    rows = stored.status.durable_rows
    return Imported(name, split, stored.directory, rows, shape.layers, shape.dim, _toml(name, table))


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    encoders = content.get("encoders")
    found = encoders.get(name) if isinstance(encoders, Mapping) else None
    if found is None:
        return {}
    if not isinstance(found, Mapping) or found.get("adapter") != "imported":
        raise UsageError(
            f"encoders.{name}: the experiment has another encoder of that name; import under a name of its own"
        )
    return dict(found)


def _toml(name: str, table: Mapping[str, Any]) -> str:
    """The table as a person would write it."""
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    lines = [f"[encoders.{key}]"]
    for field in ("adapter", "model", *SPLITS):
        if table.get(field) is not None:
            lines.append(f"{field} = {json.dumps(table[field], ensure_ascii=False)}")
    return "\n".join(lines)
