"""The form of ``embeddings.json``, checked before anything in it is followed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.entrypoints.plugins import STORES, plugin_names

FORMATS: tuple[Literal["npy"], Literal["parquet"]] = ("npy", "parquet")


def check_inventory(path: Path, inventory: Any) -> Mapping[str, Any]:
    """See that an inventory has what is read from it, each of its type.

    Raises:
        CorruptArtifactError: it has not; names what is missing or wrong.
    """
    try:
        _check(inventory)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtifactError(
            f"{path}: not an inventory of embeddings ({error!r}); extract again"
        ) from error
    found: Mapping[str, Any] = inventory
    return found


def _check(inventory: Any) -> None:
    _all_of(str, inventory["storage"]["adapter"], inventory["storage"]["root"])
    if inventory["storage"]["adapter"] not in (*FORMATS, *plugin_names(STORES)):
        raise ValueError(inventory["storage"]["adapter"])
    _all_of(bool, inventory["partial"], inventory["finished"])
    _all_of(int, *(split["rows"] for split in inventory["splits"].values()))
    for encoder in inventory["encoders"].values():
        _all_of(int, encoder["dim"], encoder["layers"])
        _all_of(bool, encoder["sparse"])
        for split, place in encoder["sets"].items():
            _all_of(str, place["key"])
            if split not in inventory["splits"]:
                raise ValueError(f"split {split!r}")


def _all_of(kind: type, *values: object) -> None:
    wrong = [value for value in values if type(value) is not kind]
    if wrong:
        raise TypeError(f"{wrong[0]!r} in place of {kind.__name__}")
