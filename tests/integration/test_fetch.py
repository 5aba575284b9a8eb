"""`fusionapp fetch arxiv` against a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from command_line import attempt, call, finish, refused, start
from fakes.arxiv_server import ArxivServer, FakePaper, arxiv_server, busy

PAPERS = [
    FakePaper(f"{2100 + n // 28}.{n:05}v1", ["gr-qc"], f"2021-{n // 28 + 1:02}-{n % 28 + 1:02}")
    for n in range(250)
]


@pytest.fixture
def server() -> Iterator[ArxivServer]:
    with arxiv_server(PAPERS) as running:
        yield running


def words(server: ArxivServer, *more: str) -> list[str]:
    return ["fetch", "arxiv", "--category", "gr-qc", "--output", "papers", "--url", server.url, *more]


def test_papers_stand_in_a_file_of_their_category(server: ArxivServer, tmp_path: Path) -> None:
    report = call(tmp_path, *words(server, "--max-results", "5", "--json")).json
    assert report == {
        "categories": [
            {
                "category": "gr-qc",
                "file": "papers/gr-qc.jsonl",
                "papers": 5,
                "elsewhere": 0,
                "requests": 1,
                "total": 250,
            }
        ]
    }
    first = json.loads((tmp_path / "papers/gr-qc.jsonl").read_text().splitlines()[0])
    assert set(first) == {"id", "title", "abstract", "primary", "categories", "date"}


def test_the_table_names_what_was_fetched(server: ArxivServer, tmp_path: Path) -> None:
    shown = call(tmp_path, *words(server, "--from", "2021-02-01", "--to", "2021-02-09")).out
    assert "gr-qc" in shown
    assert "papers/gr-qc.jsonl" in shown
    assert "[202102010000 TO 202102092359]" in server.asked[0][0]


def test_a_fetch_killed_between_pages_goes_on_behind_what_is_on_disk(
    server: ArxivServer, tmp_path: Path
) -> None:
    process = start(tmp_path, *words(server))
    page = tmp_path / "papers/.fetch/gr-qc/page-0000000.json"
    until = monotonic() + 60
    while not page.exists() and monotonic() < until:
        sleep(0.01)
    process.kill()  # it waits its three seconds before the second page
    finish(process)
    assert len(server.asked) == 1
    call(tmp_path, *words(server))
    assert [start for _, start, _ in server.asked] == [0, 200]
    assert len((tmp_path / "papers/gr-qc.jsonl").read_text().splitlines()) == 250


def test_a_server_that_sends_everybody_away_ends_with_6(server: ArxivServer, tmp_path: Path) -> None:
    server.always = busy("9999")
    assert "asks to come back in 9999 s" in refused(tmp_path, *words(server), code=6)


def test_arxiv_is_never_asked_faster_than_it_wants(server: ArxivServer, tmp_path: Path) -> None:
    assert "x>=3.0" in attempt(tmp_path, *words(server, "--delay", "1")).err
    assert not server.asked


def test_a_category_that_cannot_be_is_refused(server: ArxivServer, tmp_path: Path) -> None:
    said = refused(tmp_path, "fetch", "arxiv", "--category", "../x", "--output", "papers", code=2)
    assert "is not of arXiv's form" in said


def test_a_category_and_a_place_must_be_named(tmp_path: Path) -> None:
    assert attempt(tmp_path, "fetch", "arxiv", "--category", "gr-qc").code == 2
    assert attempt(tmp_path, "fetch", "arxiv", "--output", "papers").code == 2


def test_the_help_groups_its_options(tmp_path: Path) -> None:
    shown = call(tmp_path, "fetch", "arxiv", "--help").out
    assert [shown.index(heading) for heading in ("What:", "Where to:", "How:", "Examples:")] == sorted(
        shown.index(heading) for heading in ("What:", "Where to:", "How:", "Examples:")
    )
