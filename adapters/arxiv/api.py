"""arXiv's public API, a page at a time and no faster than it asks.

The `arxiv` package pages, waits between requests and tries again; what it lets through is caught below it, in the
transport: pages cut short, empty pages though there are papers, ``Retry-After``, a server that never answers, and
errors that the API reports as a paper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import attrs

from fusionapp.adapters.arxiv.feed import FeedPage, read_feed
from fusionapp.domain.errors import UpstreamError, UsageError

URL = "https://export.arxiv.org/api/query"
LEAST_DELAY = 3.0
"""Seconds between requests that arXiv's terms of use ask for."""

PAGE_SIZE = 200
LONGEST_WAIT = 300.0
"""Seconds: where the server asks for more, giving up beats a job that seems to hang."""

_TIMEOUT = 60.0
_BUSY = (429, 503)


@attrs.frozen
class Paper:
    """One paper.

    Attributes:
        id: with its version, such as "2107.05580v1".
        title: on one line.
        abstract: on one line.
        primary: primary category.
        categories: all categories.
        date: of the first version, ISO 8601.
    """

    id: str
    title: str
    abstract: str
    primary: str
    categories: Sequence[str]
    date: str


@attrs.frozen
class Page:
    """A page of results.

    Attributes:
        papers: those that can be read.
        entries: how many the page holds; the next one starts so much further.
        total: how many results there are in all.
    """

    papers: Sequence[Paper]
    entries: int
    total: int


class ArxivApi:
    """Asks one server, one request after the other."""

    def __init__(
        self,
        url: str = URL,
        delay: float = LEAST_DELAY,
        retries: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open no connection yet.

        Args:
            url: of the API, or of a mirror.
            delay: seconds between two requests; arXiv asks for 3 or more.
            retries: how often a page that failed is asked for again.
            sleep: waits where the server asked for more than `delay`.

        Raises:
            UsageError: the `arxiv` package is missing.
        """
        try:
            import arxiv
        except ImportError as error:
            raise UsageError(
                "fetching needs the extra `retrieve` of fusionapp (arxiv); install it, or name files that you have"
            ) from error
        self._client = arxiv.Client(delay_seconds=delay, num_retries=retries)
        self._client.query_url_format = url + "?{}"
        self._transport = _transport(delay, sleep)
        for scheme in ("https://", "http://"):
            self._client._session.mount(scheme, self._transport)

    def page(self, query: str, start: int, count: int) -> Page:
        """Results [start, start + count) of a query, the latest submitted first.

        Raises:
            UpstreamError: the server cannot be reached, keeps failing, or refuses the query.
        """
        import arxiv
        import requests

        search = arxiv.Search(
            query=query,
            max_results=None,
            sort_by=arxiv.SortCriterion.SubmittedDate,
            sort_order=arxiv.SortOrder.Descending,
        )
        self._client.page_size = count
        self._transport.start = start
        self._transport.page = FeedPage(0, 0, 0)
        results = self._client.results(search, offset=start)
        try:
            # The first result asks for the page; one more than it holds would ask for the next.
            found = list(islice(results, 1))
            found += islice(results, max(self._transport.page.readable - 1, 0))
        except (arxiv.ArxivError, requests.RequestException) as error:
            raise UpstreamError(
                f"arXiv: results from {start} of {query!r} failed again and again ({error}); what was fetched is "
                "kept, so run the same command later to go on (far results are reached by shorter date ranges)"
            ) from error
        page = self._transport.page
        return Page([_paper(result) for result in found], page.entries, page.total)


def _paper(result: Any) -> Paper:
    return Paper(
        id=result.get_short_id(),
        title=" ".join(result.title.split()),
        abstract=" ".join(result.summary.split()),
        primary=result.primary_category,
        categories=list(result.categories),
        date=result.published.date().isoformat(),
    )


def _transport(delay: float, sleep: Callable[[float], None]) -> Any:
    """A transport that raises what the client tries again, and waits where the server says how long."""
    import requests
    from requests.adapters import HTTPAdapter

    class Transport(HTTPAdapter):
        start = 0
        page = FeedPage(0, 0, 0)

        def send(self, request: Any, *arguments: Any, **settings: Any) -> Any:
            settings["timeout"] = _TIMEOUT
            try:
                response = super().send(request, *arguments, **settings)
                content = response.content
            except requests.RequestException as error:
                raise self._again(f"no whole answer: {error}") from error
            if response.status_code in _BUSY:
                raise self._again(f"HTTP {response.status_code}", response.headers.get("Retry-After"))
            if response.status_code == requests.codes.OK or b"/api/errors" in content:
                try:
                    self.page = read_feed(content, request.url)
                except ValueError as error:
                    raise self._again(str(error)) from error
                if not self.page.entries and self.page.total > self.start:
                    raise self._again(f"an empty page, though there are {self.page.total} results")
            return response

        def _again(self, problem: str, retry_after: str | None = None) -> requests.ConnectionError:
            """What the client takes as a reason to ask again. It counts its delay from the last whole answer."""
            asked = _seconds(retry_after)
            if asked > LONGEST_WAIT:
                raise UpstreamError(
                    f"arXiv: {problem}; it asks to come back in {asked:.0f} s: run the same command then to go on"
                )
            sleep(max(delay, asked))
            return requests.ConnectionError(problem)

    return Transport(max_retries=0)


def _seconds(retry_after: str | None) -> float:
    """Seconds of a Retry-After header; arXiv sends numbers, so that a date counts as none."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() else 0.0
