"""arXiv's API on loopback: Atom of made-up papers, with faults as scripted."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import attrs


@attrs.frozen
class FakePaper:
    """A paper as the server knows it."""

    id: str
    categories: Sequence[str]
    day: str = "2021-05-01"
    title: str = "On <stars>\n  & more"
    abstract: str = "  We look\n  at stars."


@attrs.frozen
class Answer:
    """What goes out."""

    body: bytes
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    keep: int | None = None
    """Bytes of the body that are sent before the connection breaks; None sends all."""


Fault = Callable[[Answer], Answer]


class ArxivServer:
    """Pages of the papers of a category in a range of dates, the latest first.

    Attributes:
        script: what becomes of the next answers, one fault an answer.
        always: what becomes of every answer that the script does not speak of.
        asked: (search_query, start, max_results) of each request.
        times: when each came in, in seconds.
    """

    def __init__(self, papers: Sequence[FakePaper]) -> None:
        self.papers = papers
        self.script: deque[Fault] = deque()
        self.always: Fault | None = None
        self.asked: list[tuple[str, int, int]] = []
        self.times: list[float] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.block_on_close = False
        Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/api/query"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, path: str) -> Answer:
        given = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        query, start, count = given["search_query"], int(given["start"]), int(given["max_results"])
        self.asked.append((query, start, count))
        self.times.append(monotonic())
        found = sorted(
            (p for p in self.papers if _matches(p, query)), key=lambda p: (p.day, p.id), reverse=True
        )
        answer = Answer(feed(found[start : start + count], len(found)))
        fault = self.script.popleft() if self.script else self.always
        return answer if fault is None else fault(answer)


@contextmanager
def arxiv_server(papers: Sequence[FakePaper]) -> Iterator[ArxivServer]:
    """A server, closed at the end."""
    server = ArxivServer(papers)
    try:
        yield server
    finally:
        server.close()


def feed(papers: Sequence[FakePaper], total: int) -> bytes:
    """A page as arXiv writes it."""
    entries = "".join(map(_entry, papers))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom" '
        'xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/" xmlns:arxiv="http://arxiv.org/schemas/atom">'
        f"<opensearch:totalResults>{total}</opensearch:totalResults>{entries}</feed>"
    ).encode()


def _entry(paper: FakePaper) -> str:
    categories = "".join(f'<category term="{name}"/>' for name in paper.categories)
    return (
        f"<entry><id>http://arxiv.org/abs/{paper.id}</id><updated>{paper.day}T10:00:00Z</updated>"
        f"<published>{paper.day}T10:00:00Z</published><title>{escape(paper.title)}</title>"
        f"<summary>{escape(paper.abstract)}</summary><author><name>A</name></author>"
        f'<arxiv:primary_category term="{paper.categories[0]}"/>{categories}</entry>'
    )


def _matches(paper: FakePaper, query: str) -> bool:
    wanted = re.findall(r"cat:([^\s)]+)", query)
    first, last = re.findall(r"\[(\d{8})0000 TO (\d{8})2359\]", query)[0]
    return first <= paper.day.replace("-", "") <= last and any(
        name.startswith(one[:-1]) if one.endswith("*") else name == one
        for one in wanted
        for name in paper.categories
    )


def busy(retry_after: str | None = None, status: int = 503) -> Fault:
    """Refuse, and say when to come back."""
    headers = () if retry_after is None else (("Retry-After", retry_after),)
    return lambda _: Answer(b"Rate exceeded.", status, headers)


def empty(answer: Answer) -> Answer:
    """A page without entries, though there are results: the API does so now and then."""
    return attrs.evolve(answer, body=re.sub(rb"<entry>.*</entry>", b"", answer.body, flags=re.DOTALL))


def truncated(answer: Answer) -> Answer:
    """XML that ends in the middle of the last abstract, its length as announced."""
    return attrs.evolve(answer, body=answer.body[: answer.body.rindex(b"stars.")])


def broken(answer: Answer) -> Answer:
    """A connection that breaks in the middle of the body."""
    return attrs.evolve(answer, keep=len(answer.body) // 2)


def refused(answer: Answer) -> Answer:
    """An error as the API reports it: as a paper."""
    entry = "<entry><id>http://arxiv.org/api/errors#bad</id><summary>malformed query</summary></entry>"
    return Answer(answer.body.replace(b"</feed>", entry.encode() + b"</feed>"), 400)


def _handler(server: ArxivServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = server.answer(self.path)
            self.send_response(answer.status)
            for name, value in (("Content-Length", str(len(answer.body))), *answer.headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body[: answer.keep])

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
