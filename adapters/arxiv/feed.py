"""What must be known of a page of Atom before the `arxiv` package reads it."""

from __future__ import annotations

import attrs

from fusionapp.domain.errors import UpstreamError

_ATOM = "{http://www.w3.org/2005/Atom}"
_SEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"


@attrs.frozen
class FeedPage:
    """How much a page holds.

    Attributes:
        entries: on the page.
        readable: of those, how many the `arxiv` package takes; it drops what has no id or no dates.
        total: results of the query.
    """

    entries: int
    readable: int
    total: int


def read_feed(content: bytes, url: str) -> FeedPage:
    """Look at a page. The `arxiv` package mends XML that ends early, and takes half an abstract for a whole one.

    Raises:
        ValueError: it is not whole, or no feed.
        UpstreamError: it is an error report.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        feed = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"XML that is not whole: {error}") from error
    entries = feed.findall(f"{_ATOM}entry")
    for entry in entries:
        if "/api/errors" in (entry.findtext(f"{_ATOM}id") or ""):
            said = (entry.findtext(f"{_ATOM}summary") or "no reason given").strip()
            raise UpstreamError(f"arXiv refuses {url}: {said}")
    total = (feed.findtext(f"{_SEARCH}totalResults") or "").strip()
    if not total.isdecimal():
        raise ValueError("no feed of results")
    wanted = ("id", "updated", "published")
    readable = [entry for entry in entries if all(entry.findtext(f"{_ATOM}{name}") for name in wanted)]
    return FeedPage(len(entries), len(readable), int(total))
