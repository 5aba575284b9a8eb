"""Prices of models in a JSON file."""

from __future__ import annotations

import json
from os import PathLike, fspath
from pathlib import Path

from fusionapp.adapters.files.opening import check_file, unreadable
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.routing.prices import Prices


def read_prices(path: str | PathLike[str]) -> Prices:
    """Prices from a file such as ``{"gpt-4": {"input_price_usd_per_mtok": 30, "output_price_usd_per_mtok": 60}}``.

    Raises:
        DatasetError: there is no such file, or it is no JSON object.
        UsageError: a price is missing or no number; names the model.
    """
    place = Path(fspath(path)).expanduser()
    check_file(place)
    try:
        table = json.loads(place.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise unreadable(place, error) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{place}: not JSON ({error}); expected {{MODEL: {{input_price_usd_per_mtok: 30, "
            "output_price_usd_per_mtok: 60}}"
        ) from error
    if not isinstance(table, dict):
        raise DatasetError(f"{place}: expected an object from model to prices, got {type(table).__name__}")
    return Prices.of(table, str(place))
