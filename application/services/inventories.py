"""The inventory of a run, ``embeddings.json``: which encoder's embeddings of which split stand where."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import SpooledSplit, in_steps
from fusionapp.application.services.extracted_sets import ExtractedSet, job_header, set_key
from fusionapp.application.services.import_embeddings import describing
from fusionapp.domain.embeddings import Json, fingerprint_texts
from fusionapp.domain.errors import CorruptArtifactError

INVENTORY = "embeddings.json"


def read_earlier(runs: RunStore) -> Mapping[str, Json]:
    """The inventory that an earlier extraction left in a run; empty where there is none, or something else."""
    try:
        earlier = runs.read_document(INVENTORY) or {}
        _ = [place["key"] for one in earlier["encoders"].values() for place in one["sets"].values()]
        _ = [place["texts_sha256"] for place in earlier["splits"].values()]
    except (CorruptArtifactError, AttributeError, KeyError, TypeError):  # it is written anew
        return {}
    found: Mapping[str, Json] = earlier
    return found


def carry_times(inventory: Mapping[str, Json], earlier: Mapping[str, Json]) -> None:
    """Begin with what earlier runs spent on the same sets. A killed run's time is lost, and so are its rows."""
    spent = {
        place["key"]: place
        for encoder in earlier.get("encoders", {}).values()
        for place in encoder["sets"].values()
    }
    for encoder in inventory["encoders"].values():
        for place in encoder["sets"].values():
            for key in ("seconds", "encoded_rows"):
                place[key] = spent.get(place["key"], {}).get(key, 0)


def add_times(places: Mapping[str, Json], sets: Sequence[ExtractedSet]) -> None:
    """Add what was spent now."""
    for one in sets:
        places[one.split]["seconds"] += one.effort.seconds
        places[one.split]["encoded_rows"] += one.effort.rows


def keep_sets(
    inventory: Mapping[str, Json],
    earlier: Mapping[str, Json],
    current: Mapping[str, str],
    encoders: Collection[str],
) -> None:
    """Keep what an earlier inventory knows of other splits, so that a part of a job does not hide the rest.

    Args:
        inventory: of this extraction, completed in place.
        earlier: what stood there before.
        current: by split, the digest of the texts that are the dataset's now; sets of other texts are dropped.
        encoders: those whose sets may be kept.
    """
    if earlier.get("storage") != inventory["storage"]:
        return
    for name, encoder in earlier["encoders"].items():
        now = inventory["encoders"].get(name)
        if name not in encoders or (now is not None and now["identity"] != encoder["identity"]):
            continue
        sets = {
            split: place
            for split, place in encoder["sets"].items()
            if current.get(split) == earlier["splits"][split]["texts_sha256"]
        }
        if sets:
            inventory["encoders"][name] = {
                **(now or encoder),
                "sets": {**sets, **(now["sets"] if now else {})},
            }
            for split in sets:
                inventory["splits"].setdefault(split, earlier["splits"][split])


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
