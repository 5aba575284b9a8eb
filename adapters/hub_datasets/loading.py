"""Loading with the `datasets` library, its errors said in one line with the way out."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fusionapp.domain.errors import DatasetError, ResourceError, UpstreamError


def load_directory(directory: Path) -> Mapping[str, Any]:
    """Splits of a directory that ``save_to_disk`` wrote; a plain Dataset is the split "train".

    Raises:
        DatasetError: no such directory, or something else stands there.
    """
    import datasets
    import pyarrow as pa

    try:
        with _without_bars():
            loaded = datasets.load_from_disk(str(directory))
    except FileNotFoundError as error:
        raise DatasetError(
            f"{directory}: not a dataset that save_to_disk wrote ({error}); a directory of CSV, JSON lines or"
            ' Parquet files is read with dataset.source = "files", naming the files'
        ) from error
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DatasetError(f"{directory}: damaged dataset ({error}); save it again") from error
    return loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}


def load_hub(name: str, config: str | None, revision: str | None) -> Mapping[str, Any]:
    """Splits of a hub dataset, from the cache where it is there. Code that a dataset carries never runs.

    Raises:
        UpstreamError: the hub cannot be reached, or has no such dataset for this user.
        DatasetError: no such config, or a dataset that `datasets` cannot build.
        ResourceError: the disk is full.
    """
    import datasets

    with hub_errors(name):
        return dict(datasets.load_dataset(name, config, revision=revision))


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn what `datasets` raises about a hub dataset into our errors, as `load_hub` says."""
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    here = f"dataset {name!r}"
    try:
        yield
    except DatasetNotFoundError as error:
        raise UpstreamError(
            f"{here}: neither a local directory nor found on the hub ({error});"
            " check the name, and for a private or gated dataset set HF_TOKEN"
        ) from error
    except DatasetsError as error:
        raise DatasetError(f"{here}: cannot be built ({error})") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ResourceError(f"{here}: no space left; free some, or move HF_HOME") from error
        raise UpstreamError(
            f"{here}: neither a local directory nor to be had from the hub ({error}); check the network,"
            " or save it where there is one with load_dataset(...).save_to_disk(DIR) and name DIR here"
        ) from error
    except (ValueError, RuntimeError) as error:
        # A config that is missing or unknown (the message lists them), or a dataset that is a script.
        raise DatasetError(f"{here}: {error}") from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """Reading from disk takes no time worth a bar; whether bars are shown is the whole process's setting."""
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
