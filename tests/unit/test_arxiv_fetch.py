"""Fetching from arXiv: what is asked for, what is kept, and what failures do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fakes.arxiv_server import (
    ArxivServer,
    FakePaper,
    Fault,
    arxiv_server,
    broken,
    busy,
    empty,
    refused,
    truncated,
)
from fakes.heads import CountingProgress

from fusionapp.adapters.arxiv import ArxivSource, api as api_module, fetch as fetch_module
from fusionapp.adapters.arxiv.api import ArxivApi
from fusionapp.adapters.arxiv.fetch import FetchedCategory, FetchPapers
from fusionapp.adapters.arxiv.pages import only_writer
from fusionapp.domain.errors import CorruptArtifactError, LockedError, UpstreamError, UsageError
from fusionapp.domain.retrieval.pairs import Pair

TODAY = date(2022, 6, 1)
PAPERS = [
    *(FakePaper(f"2105.{n:05}v2", ["gr-qc"], f"2021-05-{n:02}") for n in range(1, 8)),
    FakePaper("2106.00001v1", ["hep-th", "gr-qc"], "2021-06-01"),
    FakePaper("2107.00001v1", ["hep-th"], "2021-07-01"),
    FakePaper("q-bio/0703001v1", ["q-bio.PE"], "2007-03-01"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArxivServer]:
    monkeypatch.setattr(fetch_module, "PAGE_SIZE", 3)
    with arxiv_server(PAPERS) as running:
        yield running


def fetch(
    server: ArxivServer, output: Path, *categories: str, waits: list[float] | None = None, **how: Any
) -> list[FetchedCategory]:
    slept: list[float] = [] if waits is None else waits
    api = ArxivApi(server.url, delay=0.0, retries=2, sleep=slept.append)
    return FetchPapers(api, CountingProgress(), lambda: TODAY)(categories or ("gr-qc",), output, **how)


def ids(output: Path, category: str = "gr-qc") -> list[str]:
    lines = (output / f"{category}.jsonl").read_text().splitlines()
    return [json.loads(line)["id"] for line in lines]


ALL = ["2106.00001", *(f"2105.{n:05}" for n in range(7, 0, -1))]


def test_a_category_is_fetched_page_by_page_the_latest_first(server: ArxivServer, tmp_path: Path) -> None:
    (done,) = fetch(server, tmp_path)
    assert ids(tmp_path) == ALL
    assert (done.papers, done.requests, done.total, done.elsewhere) == (8, 3, 8, 0)
    query = "(cat:gr-qc OR cat:gr-qc.*) AND submittedDate:[198601010000 TO 202206012359]"
    assert server.asked == [(query, 0, 3), (query, 3, 3), (query, 6, 3)]


def test_what_was_fetched_is_read_as_pairs(server: ArxivServer, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    assert next(ArxivSource({"train": tmp_path}).read("train")) == Pair(
        "On <stars> & more", "We look at stars.", "2106.00001", "2106.00001", "hep-th", date="2021-06-01"
    )


def test_a_paper_of_two_categories_stands_in_the_first_ones_file(server: ArxivServer, tmp_path: Path) -> None:
    gr, hep = fetch(server, tmp_path, "gr-qc", "hep-th", "gr-qc")
    assert ids(tmp_path, "hep-th") == ["2107.00001"]
    assert (gr.elsewhere, hep.elsewhere) == (0, 1)


def test_versions_of_a_paper_are_one(server: ArxivServer, tmp_path: Path) -> None:
    server.papers = [FakePaper("2105.00001v1", ["gr-qc"]), FakePaper("2105.00001v3", ["gr-qc"])]
    fetch(server, tmp_path)
    assert ids(tmp_path) == ["2105.00001"]


def test_an_archive_holds_the_papers_of_its_categories(server: ArxivServer, tmp_path: Path) -> None:
    fetch(server, tmp_path, "q-bio")
    assert ids(tmp_path, "q-bio") == ["q-bio/0703001"]


def test_no_more_is_fetched_than_asked_for(server: ArxivServer, tmp_path: Path) -> None:
    fetch(server, tmp_path, max_results=4)
    assert ids(tmp_path) == ALL[:4]
    assert [asked[1:] for asked in server.asked] == [(0, 3), (3, 1)]


def test_a_range_of_dates_is_asked_for(server: ArxivServer, tmp_path: Path) -> None:
    fetch(server, tmp_path, first_day=date(2021, 5, 2), last_day=date(2021, 5, 3))
    assert ids(tmp_path) == ["2105.00003", "2105.00002"]


def test_what_is_there_is_not_fetched_again(server: ArxivServer, tmp_path: Path) -> None:
    fetch(server, tmp_path, max_results=4)
    assert fetch(server, tmp_path, max_results=4)[0].requests == 0
    assert fetch(server, tmp_path)[0].papers == 8
    assert [asked[1:] for asked in server.asked] == [(0, 3), (3, 1), (4, 3), (7, 3)]
    assert fetch(server, tmp_path, max_results=2)[0].papers == 2
    assert len(server.asked) == 4


def test_a_fetch_that_was_killed_goes_on_behind_the_last_page(server: ArxivServer, tmp_path: Path) -> None:
    class Killed(ArxivApi):
        def page(self, query: str, start: int, count: int) -> Any:
            if start == 3:
                raise KeyboardInterrupt
            return super().page(query, start, count)

    with pytest.raises(KeyboardInterrupt):
        FetchPapers(Killed(server.url, 0.0), CountingProgress(), lambda: TODAY)(["gr-qc"], tmp_path)
    assert not (tmp_path / "gr-qc.jsonl").exists()
    fetch(server, tmp_path)
    assert [asked[1] for asked in server.asked] == [0, 3, 6]
    assert ids(tmp_path) == ALL


def test_a_later_day_moves_no_page_of_what_was_begun(server: ArxivServer, tmp_path: Path) -> None:
    fetch(server, tmp_path, max_results=3)
    server.papers = [*PAPERS, FakePaper("2301.00001v1", ["gr-qc"], "2023-01-01")]
    api = ArxivApi(server.url, 0.0)
    FetchPapers(api, CountingProgress(), lambda: date(2023, 2, 1))(["gr-qc"], tmp_path)
    assert ids(tmp_path) == ALL


@pytest.mark.parametrize("fault", [busy(), busy(status=429), empty, truncated, broken, busy(status=500)])
@pytest.mark.parametrize("page", [0, 1, 2])
def test_a_page_that_fails_is_asked_for_again(
    server: ArxivServer, tmp_path: Path, fault: Fault, page: int
) -> None:
    server.script.extend([lambda answer: answer] * page + [fault, fault])
    (done,) = fetch(server, tmp_path)
    assert ids(tmp_path) == ALL
    assert (done.requests, len(server.asked)) == (3, 5)
    assert all("We look at stars." in line for line in (tmp_path / "gr-qc.jsonl").read_text().splitlines())


@pytest.mark.parametrize("fault", [busy(), empty, truncated, broken, busy(status=404)])
def test_a_server_that_keeps_failing_is_an_upstream_error_and_pages_are_kept(
    server: ArxivServer, tmp_path: Path, fault: Fault
) -> None:
    server.script.append(lambda answer: answer)
    server.always = fault
    with pytest.raises(
        UpstreamError, match=r"results from 3 of .* failed again and again .*run the same command"
    ):
        fetch(server, tmp_path)
    assert len(server.asked) == 1 + 3  # a first try and two more
    server.always = None
    fetch(server, tmp_path)
    assert ids(tmp_path) == ALL
    assert [asked[1] for asked in server.asked[4:]] == [3, 6]


def test_a_server_that_says_when_to_come_back_is_waited_for(server: ArxivServer, tmp_path: Path) -> None:
    waits: list[float] = []
    server.script.append(busy("7"))
    fetch(server, tmp_path, waits=waits)
    assert waits == [7.0]


def test_a_server_that_wants_hours_is_given_up(server: ArxivServer, tmp_path: Path) -> None:
    server.script.append(busy("7200"))
    with pytest.raises(UpstreamError, match="asks to come back in 7200 s"):
        fetch(server, tmp_path)


def test_an_error_that_comes_as_a_paper_is_not_taken_for_one(server: ArxivServer, tmp_path: Path) -> None:
    server.always = refused
    with pytest.raises(UpstreamError, match=r"arXiv refuses .*: malformed query"):
        fetch(server, tmp_path)
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_an_upstream_error(tmp_path: Path) -> None:
    api = ArxivApi("http://127.0.0.1:9/api/query", 0.0, retries=1)
    with pytest.raises(UpstreamError):
        FetchPapers(api, CountingProgress())(["gr-qc"], tmp_path)


def test_requests_keep_their_distance(server: ArxivServer, tmp_path: Path) -> None:
    """Failed ones too."""
    server.script.append(empty)
    api = ArxivApi(server.url, delay=0.1)
    FetchPapers(api, CountingProgress(), lambda: TODAY)(["gr-qc"], tmp_path)
    gaps = [later - sooner for sooner, later in zip(server.times, server.times[1:], strict=False)]
    assert len(gaps) == 3
    assert min(gaps) >= 0.1
    assert api_module.LEAST_DELAY >= 3


def test_a_category_without_papers_leaves_an_empty_file(server: ArxivServer, tmp_path: Path) -> None:
    (done,) = fetch(server, tmp_path, "math-ph")
    assert (done.papers, done.total, ids(tmp_path, "math-ph")) == (0, 0, [])
    assert fetch(server, tmp_path, "math-ph")[0].requests == 0


@pytest.mark.parametrize("change", [{"last_day": date(2020, 1, 1)}, {"first_day": date(2021, 1, 1)}])
def test_another_range_in_the_same_place_is_refused(
    server: ArxivServer, tmp_path: Path, change: dict[str, Any]
) -> None:
    fetch(server, tmp_path)
    with pytest.raises(
        UsageError, match="holds papers from 1986-01-01 to 2022-06-01; choose another --output"
    ):
        fetch(server, tmp_path, **change)


@pytest.mark.parametrize(
    ("categories", "how", "said"),
    [
        (["../x"], {}, "category '../x' is not of arXiv's form"),
        (["gr-qc) OR (cat:x"], {}, "is not of arXiv's form"),
        (["gr-qc"], {"max_results": 0}, "max_results: expected at least 1"),
        (
            ["gr-qc"],
            {"first_day": TODAY, "last_day": date(2020, 1, 1)},
            "ends on 2020-01-01, before it starts",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    server: ArxivServer, tmp_path: Path, categories: list[str], how: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        fetch(server, tmp_path, *categories, **how)
    assert not server.asked


def test_two_processes_do_not_fetch_into_one_place(server: ArxivServer, tmp_path: Path) -> None:
    with only_writer(tmp_path / ".fetch"), pytest.raises(LockedError, match="another process fetches there"):
        fetch(server, tmp_path)
    assert not server.asked
    fetch(server, tmp_path)


def test_a_place_that_is_no_directory_is_refused(server: ArxivServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another --output"):
        fetch(server, tmp_path / "file")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"papers": [{}], "entries": 1, "total": 1}'])
def test_a_page_that_was_changed_is_corrupt(server: ArxivServer, tmp_path: Path, content: bytes) -> None:
    fetch(server, tmp_path)
    (tmp_path / ".fetch/gr-qc/page-0000003.json").write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"page-0000003.json: .*remove .* to fetch again"):
        fetch(server, tmp_path)
