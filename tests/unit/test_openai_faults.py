"""An encoder over a server that misbehaves in every way that servers do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from gzip import compress
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fakes.embedding_server import (
    EmbeddingServer,
    Fault,
    Reply,
    breaks,
    embedding_of,
    embedding_server,
    items,
    refuses,
    sends,
    waits,
)
from openai_bench import TEXTS, bench, dense, expected

from fusionapp.adapters.openai_compatible.encoder import OpenAIEncoder
from fusionapp.domain.errors import UpstreamError


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as running:
        yield running


FAULTS: dict[str, Fault] = {
    "408": refuses("slow", 408),
    "429": refuses("busy", 429),
    "500": refuses("oops", 500),
    "503": refuses("starting", 503),
    "missing": items(lambda data: data[:-1]),
    "twice": items(lambda data: [*data, data[0]]),
    "too many": items(lambda data: [*data, {**data[0], "index": len(data)}]),
    "no index": items(lambda data: [{"embedding": item["embedding"]} for item in data]),
    "no base64": embedding_of(0, "?"),
    "no JSON": sends(b"<html>"),
    "cut JSON": sends(b'{"data": [{"index": 0, "embedd'),
    "broken off": breaks(40),
    "no answer": breaks(-1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_costs_one_repetition(server: EmbeddingServer, fault: str) -> None:
    server.script.append(FAULTS[fault])
    tested = bench(server)

    assert np.array_equal(dense(tested.embed()), expected())
    assert len(server.seen) == 2
    assert len(tested.slept) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_ends_the_job_with_where_and_what(server: EmbeddingServer, fault: str) -> None:
    server.always = FAULTS[fault]

    with pytest.raises(UpstreamError, match=rf"{server.base_url}: .* \(gave up after 3 attempts\)"):
        bench(server, retries=2).embed()
    assert len(server.seen) == 3


def test_items_may_come_in_any_order(server: EmbeddingServer) -> None:
    server.always = items(lambda data: data[::-1])

    assert np.array_equal(dense(bench(server).embed()), expected())


def test_a_late_answer_is_a_fault_that_passes(server: EmbeddingServer) -> None:
    server.script.append(waits(0.4))
    tested = bench(server, timeout=0.1)

    assert np.array_equal(dense(tested.embed()), expected())
    assert len(tested.slept) == 1


def test_pauses_grow(server: EmbeddingServer) -> None:
    server.always = refuses("busy", 503)
    tested = bench(server, retries=5)

    with pytest.raises(UpstreamError):
        tested.embed()

    assert all(2 * earlier * 0.5 <= later for earlier, later in pairwise(tested.slept))
    assert tested.slept[-1] >= 4.0


def test_a_server_that_says_how_long_is_left_alone_so_long(server: EmbeddingServer) -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    server.script.extend(
        [refuses("busy", 429, Retry_After="7"), refuses("busy", 503, Retry_After=in_a_minute)]
    )
    tested = bench(server)

    tested.embed()

    assert tested.slept[0] == 7.0
    assert 50.0 < tested.slept[1] <= 60.0


def test_a_server_that_asks_for_an_hour_is_given_up(server: EmbeddingServer) -> None:
    server.always = refuses("busy", 429, Retry_After="3600")
    tested = bench(server)

    with pytest.raises(UpstreamError, match=r"429: busy \(asks to wait 3600 s\); what is durable stays"):
        tested.embed()
    assert tested.slept == []


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (refuses("wrong key", 401), "401: wrong key; check the key"),
        (refuses("no such model", 404), "404: no such model; check model and base_url"),
        (sends({"data": [{"index": i, "embedding": [1.0] * 7} for i in range(10)]}), "set dim = 7"),
        (sends({"data": "x" * 2_000_000}), "the answer has over"),
    ],
)
def test_what_does_not_pass_ends_the_job_at_once(server: EmbeddingServer, fault: Fault, told: str) -> None:
    server.always = fault

    with pytest.raises(UpstreamError, match=told):
        bench(server).embed()
    assert len(server.seen) == 1


def test_a_small_answer_that_unpacks_to_a_huge_one_is_refused(server: EmbeddingServer) -> None:
    server.always = lambda _: Reply(compress(bytes(20_000_000)), headers={"Content-Encoding": "gzip"})

    with pytest.raises(UpstreamError, match="the answer has over"):
        bench(server).embed()


def test_vectors_that_change_width_on_the_way_end_the_job(server: EmbeddingServer) -> None:
    server.script.extend([waits(0.0), waits(0.0), embedding_of(1, [1.0] * 9)])

    with pytest.raises(UpstreamError, match="vectors of 9 numbers came where 8 were expected"):
        bench(server, dim=None, batch_size=5).embed()


def test_nobody_there_ends_the_job_with_where() -> None:
    with embedding_server() as gone:
        address = gone.base_url
    encoder = OpenAIEncoder("m", base_url=address, dim=8, retries=1, sleep=lambda _: None)

    with pytest.raises(UpstreamError, match=f"{address}: the connection failed: .*gave up after 2 attempts"):
        encoder.encode(TEXTS, encoder.plan(10))


def test_a_server_that_takes_fewer_texts_gets_fewer() -> None:
    with embedding_server(most_texts=3) as server:
        encoding = bench(server).embed(TEXTS * 2)

        assert np.array_equal(dense(encoding), expected(TEXTS * 2))
        assert not encoding.notes


def test_what_a_server_takes_is_remembered() -> None:
    with embedding_server(most_texts=3) as server:
        tested = bench(server)
        tested.embed()
        before = len(server.seen)

        tested.embed()

        assert max(len(seen.texts) for seen in server.seen[before:]) <= 3


def test_a_text_that_the_server_refuses_has_failed_and_the_others_have_not() -> None:
    with embedding_server(most_characters=50) as server:
        texts = [*TEXTS[:5], "x" * 60, *TEXTS[5:]]

        encoding = bench(server).embed(texts)

        assert np.flatnonzero(encoding.failed).tolist() == [5]
        assert not dense(encoding)[5].any()
        assert np.array_equal(np.delete(dense(encoding), 5, axis=0), expected())
        (note,) = encoding.notes
        assert note == (
            f"1 text: refused by {server.base_url}: 400: this model's maximum context length is 50 characters "
            "(60 characters, about 15 tokens; max_length cuts texts)"
        )


def test_a_server_that_refuses_everything_is_not_asked_for_every_text(server: EmbeddingServer) -> None:
    server.always = refuses("dimensions is not supported by this model")

    with pytest.raises(UpstreamError, match="400: dimensions is not supported by this model"):
        bench(server, dim=None, dimensions=4).embed()
    assert len(server.seen) == 3


def test_numbers_that_are_not_finite_are_asked_for_once_more(server: EmbeddingServer) -> None:
    server.script.append(embedding_of(3, [float("nan")] * 8))

    encoding = bench(server).embed()

    assert np.array_equal(dense(encoding), expected())
    assert server.seen[1].texts == [TEXTS[3]]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), None, 1e99])
def test_a_text_without_finite_numbers_has_failed(server: EmbeddingServer, odd: Any) -> None:
    server.script.extend([embedding_of(3, [odd] * 8), embedding_of(0, [odd] * 8)])

    encoding = bench(server).embed()

    assert np.flatnonzero(encoding.failed).tolist() == [3]
    assert not dense(encoding)[3].any()
    assert encoding.notes == ("1 text: the server twice gave NaN or Inf",)


def test_the_first_failure_stops_the_requests_that_wait(server: EmbeddingServer) -> None:
    server.script.append(refuses("wrong key", 401))
    server.always = refuses("busy", 503, Retry_After="250")
    encoder = OpenAIEncoder("m", base_url=server.base_url, dim=8, batch_size=1, concurrency=4)

    with pytest.raises(UpstreamError, match="wrong key"):
        encoder.encode(TEXTS, encoder.plan(10))
    assert len(server.seen) <= 5  # whoever failed took one more before anybody noticed
    encoder.close()


def test_progress_counts_texts_that_failed_too() -> None:
    with embedding_server(most_characters=50) as server:
        counted: list[int] = []
        tested = bench(server, batch_size=4)

        tested.encoder.encode(
            [*TEXTS, "x" * 60], tested.encoder.plan(11), lambda texts, _: counted.append(texts)
        )

        assert sum(counted) == 11
        tested.encoder.close()
