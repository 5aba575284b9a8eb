"""Papers of whole categories from arXiv into one file of JSON lines each."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

import attrs

from fusionapp.adapters.arxiv.api import PAGE_SIZE, ArxivApi, Paper
from fusionapp.adapters.arxiv.pages import PageFolder, only_writer, write_durably
from fusionapp.adapters.arxiv.source import bare_id
from fusionapp.application.ports.progress import Progress, ProgressTask
from fusionapp.domain.errors import UsageError

logger = logging.getLogger(__name__)

_CATEGORY = re.compile(r"[a-z]+(-[a-z]+)*(\.[A-Za-z]+(-[A-Za-z]+)*)?")
_FIRST_DAY = date(1986, 1, 1)
"""Before the earliest date that a paper of arXiv carries."""


@attrs.frozen
class FetchedCategory:
    """What one category's file holds.

    Attributes:
        category: its name.
        file: JSON lines, as `ArxivSource` reads them.
        papers: in the file.
        elsewhere: papers left out because an earlier category's file has them.
        requests: answered pages of this run; 0 where all was there.
        total: papers of the category in the date range.
    """

    category: str
    file: str
    papers: int
    elsewhere: int
    requests: int
    total: int


@attrs.frozen
class FetchPapers:
    """Fetches categories one after the other, the latest papers first.

    Each page is kept under ``OUTPUT/.fetch/CATEGORY`` as it comes, and never asked for again. The range of dates
    is pinned when a category is begun, so that papers that come in meanwhile move no page.

    Attributes:
        api: where papers come from.
        progress: shown while it goes on.
        today: the last day of a range without an end.
    """

    api: ArxivApi
    progress: Progress
    today: Callable[[], date] = attrs.field(default=lambda: datetime.now(UTC).date())

    def __call__(
        self,
        categories: Sequence[str],
        output: Path,
        max_results: int | None = None,
        first_day: date | None = None,
        last_day: date | None = None,
    ) -> list[FetchedCategory]:
        """Fetch what is missing, and write ``OUTPUT/CATEGORY.jsonl``.

        A paper stands in one file alone: the first category's, of those that it belongs to.

        Args:
            categories: such as "gr-qc", "astro-ph.CO", or an archive such as "q-bio" for all of its categories.
            output: directory of the files.
            max_results: of each category; None for all.
            first_day: of the first submission; None for the beginning.
            last_day: of the first submission; None for the day on which the category was begun.

        Raises:
            UsageError: no such category name, a range that ends before it starts, or one that differs from what
                was fetched there before.
            LockedError: another process fetches there.
            UpstreamError: arXiv fails; what was fetched is kept.
            ResourceError: the disk is full.
            CorruptArtifactError: a kept page was changed.
        """
        names = list(dict.fromkeys(categories))
        _check(names, max_results, first_day, last_day)
        with only_writer(output / ".fetch"):
            return list(self._fetched(names, output, max_results, first_day, last_day))

    def _fetched(
        self,
        names: Sequence[str],
        output: Path,
        max_results: int | None,
        first_day: date | None,
        last_day: date | None,
    ) -> Iterator[FetchedCategory]:
        seen: set[str] = set()
        for name in names:
            folder = PageFolder(output / ".fetch" / name)
            card = _card(folder, first_day, last_day, self.today)
            requests, total = self._complete(folder, name, card, max_results)
            file = output / f"{name}.jsonl"
            papers, elsewhere = _write(file, folder, max_results, seen)
            yield FetchedCategory(name, str(file), papers, elsewhere, requests, total)

    def _complete(
        self, folder: PageFolder, name: str, card: Mapping[str, str], max_results: int | None
    ) -> tuple[int, int]:
        """Fetch the pages that are missing; returns how many they were, and how many papers there are."""
        have, total = 0, None
        for page in folder.pages():
            have, total = have + page.entries, page.total
        query, requests = _query(name, card), 0
        with ExitStack() as stack:
            bar: ProgressTask | None = None
            while total is None or have < _wanted(total, max_results):
                count = PAGE_SIZE if max_results is None else min(PAGE_SIZE, max_results - have)
                page = self.api.page(query, have, count)
                folder.add(have, page)
                total, requests = page.total, requests + 1
                if bar is None:
                    wanted = _wanted(total, max_results)
                    bar = stack.enter_context(
                        self.progress.task(name, wanted, "papers", done=min(have, wanted))
                    )
                bar.advance(page.entries)
                have += page.entries
                logger.info("%s: %d of %d papers", name, have, total)
                if not page.entries:
                    break
        return requests, total or 0


def _wanted(total: int, max_results: int | None) -> int:
    return total if max_results is None else min(total, max_results)


def _check(
    names: Sequence[str], max_results: int | None, first_day: date | None, last_day: date | None
) -> None:
    if not names:
        raise UsageError("name a category, such as --category gr-qc")
    for name in names:
        if not _CATEGORY.fullmatch(name):
            raise UsageError(f"category {name!r} is not of arXiv's form, such as gr-qc, astro-ph.CO or q-bio")
    if max_results is not None and max_results < 1:
        raise UsageError(f"max_results: expected at least 1, got {max_results}")
    if first_day and last_day and last_day < first_day:
        raise UsageError(f"the range ends on {last_day}, before it starts on {first_day}")


def _card(
    folder: PageFolder, first_day: date | None, last_day: date | None, today: Callable[[], date]
) -> Mapping[str, str]:
    """The range that is fetched: the one begun before, where the arguments leave it open."""
    begun = folder.card()
    asked = {"from": (first_day or _FIRST_DAY).isoformat(), "to": last_day.isoformat() if last_day else None}
    if begun is None:
        card = {
            "from": str(asked["from"]),
            "to": asked["to"] or max(today(), first_day or _FIRST_DAY).isoformat(),
        }
        folder.start(card)
        return card
    if asked["from"] != begun.get("from") or asked["to"] not in (None, begun.get("to")):
        raise UsageError(
            f"{folder.directory}: holds papers from {begun.get('from')} to {begun.get('to')}; choose another "
            "--output for another range, or remove it"
        )
    return begun


def _query(category: str, card: Mapping[str, str]) -> str:
    """An archive's name alone finds few papers: most are filed under its categories."""
    found = f"cat:{category}" if "." in category else f"(cat:{category} OR cat:{category}.*)"
    first, last = (card[end].replace("-", "") for end in ("from", "to"))
    return f"{found} AND submittedDate:[{first}0000 TO {last}2359]"


def _write(file: Path, folder: PageFolder, max_results: int | None, seen: set[str]) -> tuple[int, int]:
    """Write a category's file; returns how many papers it holds and how many an earlier file has."""
    lines = []
    before = frozenset(seen)
    elsewhere = 0
    for paper in islice(_papers(folder), max_results):
        id = bare_id(paper.id)
        elsewhere += id in before
        if id not in seen and paper.title and paper.abstract:
            seen.add(id)
            lines.append(json.dumps({**attrs.asdict(paper), "id": id}, ensure_ascii=False) + "\n")
    write_durably(file, "".join(lines).encode())
    return len(lines), elsewhere


def _papers(folder: PageFolder) -> Iterator[Paper]:
    return (paper for page in folder.pages() for paper in page.papers)
