"""The inventory of a run, ``embeddings.json``: which encoder's embeddings of which split stand where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import SpooledSplit, in_steps
from fusionapp.application.services.extracted_sets import ExtractedSet, job_header, set_key
from fusionapp.application.services.import_embeddings import describing
from fusionapp.domain.embeddings import Json, fingerprint_texts
from fusionapp.domain.errors import CorruptArtifactError

INVENTORY = "embeddings.json"


def earlier_places(runs: RunStore) -> Mapping[str, Mapping[str, Json]]:
    """By key, the sets of the inventory that an earlier extraction left in a run; none where it is none."""
    try:
        earlier = runs.read_document(INVENTORY) or {"encoders": {}}
        return {
            place["key"]: place
            for encoder in earlier["encoders"].values()
            for place in encoder["sets"].values()
        }
    except (CorruptArtifactError, AttributeError, KeyError, TypeError):  # it is written anew
        return {}


def carry_times(inventory: Mapping[str, Json], spent: Mapping[str, Mapping[str, Json]]) -> None:
    """Begin with what earlier runs spent on the same sets. A killed run's time is lost, and so are its rows."""
    for encoder in inventory["encoders"].values():
        for place in encoder["sets"].values():
            for key in ("seconds", "encoded_rows"):
                place[key] = spent.get(place["key"], {}).get(key, 0)


def add_times(places: Mapping[str, Json], sets: Sequence[ExtractedSet]) -> None:
    """Add what was spent now."""
    for one in sets:
        places[one.split]["seconds"] += one.effort.seconds
        places[one.split]["encoded_rows"] += one.effort.rows


def describe_split(texts: SpooledSplit, origin: str) -> dict[str, Json]:
    """What an inventory says of a split."""
    return {
        "origin": origin,
        "rows": texts.rows,
        "texts_sha256": texts.texts_sha256,
        "labels_sha256": fingerprint_texts(label or "" for label in in_steps(texts.labels, texts.rows)),
    }


def describe_encoder(
    encoder: Encoder, spooled: Mapping[str, SpooledSplit], shard_rows: int, locate: Callable[[str], str]
) -> dict[str, Json]:
    """What an inventory says of an encoder over these splits."""
    sets = {}
    for split, texts in spooled.items():
        key = set_key(job_header(describing(encoder, split), texts, shard_rows))
        sets[split] = {"key": key, "directory": locate(key)}
    shape = encoder.shape
    return {
        "identity": dict(encoder.identity),
        "choices": list(encoder.choices),
        "dim": shape.dim,
        "layers": shape.layers,
        "sparse": shape.sparse,
        "sets": sets,
    }
