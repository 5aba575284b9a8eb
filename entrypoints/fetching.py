"""Data fetched from where it is published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from fusionapp.entrypoints.gateways import terminal_progress

if TYPE_CHECKING:
    from fusionapp.adapters.arxiv.fetch import FetchedCategory


def fetch_arxiv(
    categories: Sequence[str],
    output: Path,
    max_results: int | None = None,
    first_day: date | None = None,
    last_day: date | None = None,
    *,
    url: str | None = None,
    delay: float = 3.0,
    quiet: bool = False,
) -> list[FetchedCategory]:
    """Fetch papers of arXiv; arguments and errors are those of `FetchPapers`.

    Args:
        categories: such as "gr-qc".
        output: directory of the files.
        max_results: of each category.
        first_day: of the first submission.
        last_day: of the first submission.
        url: of the API, where a mirror is asked.
        delay: seconds between requests.
        quiet: show no progress bar.
    """
    from fusionapp.adapters.arxiv.api import URL, ArxivApi
    from fusionapp.adapters.arxiv.fetch import FetchPapers

    fetch = FetchPapers(ArxivApi(url or URL, delay), terminal_progress(quiet))
    return fetch(categories, output, max_results, first_day, last_day)
