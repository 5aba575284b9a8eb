"""An encoder over a server that misbehaves in every way that servers do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from gzip import compress
from itertools import pairwise
from typing import Any

import attrs
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
    vector,
    waits,
)
from numpy.typing import NDArray

from fusionapp.adapters.openai_compatible.encoder import OpenAIEncoder
from fusionapp.domain.embeddings import Encoding
from fusionapp.domain.errors import ConfigurationError, UpstreamError, UsageError

TEXTS = [f"text number {number}" for number in range(10)]


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as running:
        yield running


@attrs.frozen
class Bench:
    """An encoder and the pauses that it would have made."""

    encoder: OpenAIEncoder
    slept: list[float]

    def embed(self, texts: list[str] = TEXTS) -> Encoding:
        try:
            return self.encoder.encode(texts, self.encoder.plan(len(texts)))
        finally:
            self.encoder.close()


def bench(server: EmbeddingServer, **settings: Any) -> Bench:
    slept: list[float] = []
    defaults: dict[str, Any] = {"model": "m", "base_url": server.base_url, "dim": 8, "concurrency": 1}
    return Bench(OpenAIEncoder(**(defaults | settings), sleep=slept.append), slept)


def dense(encoding: Encoding) -> NDArray[np.float32]:
    assert isinstance(encoding.embeddings, np.ndarray)
    return encoding.embeddings


def expected(texts: list[str] = TEXTS, dim: int = 8) -> NDArray[np.float32]:
    return np.stack([vector(text, dim) for text in texts])[:, None, :]


def test_rows_are_the_servers_vectors_in_input_order(server: EmbeddingServer) -> None:
    encoding = bench(server, batch_size=3, concurrency=4).embed()

    assert np.array_equal(dense(encoding), expected())
    assert not encoding.failed.any()
    assert not encoding.truncated.any()
    assert not encoding.notes


@pytest.mark.parametrize("formats", ["both", "ignored", "refused"])
def test_base64_and_floats_give_the_same_bytes(formats: Any) -> None:
    with embedding_server(formats=formats) as server:
        assert np.array_equal(dense(bench(server, batch_size=4, concurrency=3).embed()), expected())


def test_base64_is_asked_for_until_it_is_refused() -> None:
    with embedding_server(formats="refused") as server:
        bench(server, batch_size=5).embed()

        assert [(seen.body["encoding_format"], len(seen.texts)) for seen in server.seen] == [
            ("base64", 5),
            ("base64", 1),
            ("float", 1),
            ("float", 5),
            ("float", 5),
        ]


def test_requests_hold_no_more_texts_and_tokens_than_asked(server: EmbeddingServer) -> None:
    bench(server, batch_size=4).embed()
    bench(server, batch_tokens=10).embed()

    assert [len(seen.texts) for seen in server.seen] == [4, 4, 2] + [2] * 5


def test_a_plan_that_was_made_before_bounds_the_tokens(server: EmbeddingServer) -> None:
    tested = bench(server)

    tested.encoder.encode(TEXTS, attrs.evolve(tested.encoder.plan(10), batch_tokens=5))

    assert [len(seen.texts) for seen in server.seen] == [1] * 10
    tested.encoder.close()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_requests_are_in_work_at_once_within_the_bound(server: EmbeddingServer, concurrency: int) -> None:
    server.always = waits(0.02)

    bench(server, batch_size=1, concurrency=concurrency).embed()

    assert server.busiest <= concurrency
    assert concurrency == 1 or server.busiest > 1


def test_what_is_sent_is_what_the_interface_has(server: EmbeddingServer) -> None:
    bench(server, dim=None, dimensions=5, prefix="query: ").embed(["rain"])

    (seen,) = server.seen
    assert seen.path == "/v1/embeddings"
    assert seen.body == {"model": "m", "input": ["query: rain"], "encoding_format": "base64", "dimensions": 5}
    assert "authorization" not in seen.headers


def test_the_servers_own_count_of_tokens_is_reported(server: EmbeddingServer) -> None:
    encoding = bench(server).embed()

    assert encoding.tokens == encoding.padded_tokens == 30


def test_tokens_are_estimated_where_the_server_does_not_count() -> None:
    with embedding_server(usage=False) as server:
        tested = bench(server)

        assert tested.embed().tokens == sum(tested.encoder.count_tokens(TEXTS)) == 40


def test_texts_are_cut_and_marked_where_a_length_was_asked_for(server: EmbeddingServer) -> None:
    encoding = bench(server, max_length=3, prefix="p: ").embed(["rain", "r" * 9, "r" * 10])

    assert server.seen[0].texts == ["p: rain", "p: " + "r" * 9, "p: " + "r" * 9]
    assert encoding.truncated.tolist() == [False, False, True]


def test_half_a_surrogate_pair_is_sent_as_what_unicode_has_for_it(server: EmbeddingServer) -> None:
    bench(server).embed(["\ud800 lone 😀"])

    assert server.seen[0].texts == ["\ufffd lone 😀"]


def test_vectors_are_normalised_where_that_was_asked_for(server: EmbeddingServer) -> None:
    embeddings = dense(bench(server, normalize=True).embed())

    assert np.allclose(np.linalg.norm(embeddings, axis=2), 1.0, rtol=1e-6)


@pytest.mark.parametrize("model", ["intfloat/e5-large-v2", "e5-large"])
def test_a_model_with_a_card_is_used_as_its_card_says(model: str) -> None:
    with embedding_server(dim=1024) as server:
        encoding = bench(server, model=model, dim=None).embed(["rain"])

        assert server.seen[0].texts == ["query: rain"]
        assert server.seen[0].body["model"] == model
        assert np.linalg.norm(dense(encoding)) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "dim"),
    [
        ({"dim": 7}, 7),
        ({"dimensions": 5}, 5),
        ({"dim": 5, "dimensions": 5}, 5),
        ({"model": "text-embedding-3-small"}, 1536),
        ({"model": "text-embedding-3-large"}, 3072),
        ({"model": "text-embedding-3-large", "dimensions": 256}, 256),
        ({"model": "text-embedding-ada-002"}, 1536),
        ({"model": "BAAI/bge-large-en-v1.5"}, 1024),
    ],
)
def test_a_width_that_is_known_asks_nobody(settings: dict[str, Any], dim: int) -> None:
    assert OpenAIEncoder(**({"model": "m"} | settings), base_url="http://127.0.0.1:9/v1").shape.dim == dim


def test_a_width_that_is_not_known_is_asked_for_once(server: EmbeddingServer) -> None:
    encoder = bench(server, dim=None).encoder

    assert [encoder.shape.dim, encoder.shape.dim] == [8, 8]
    assert "dim: 8 (as the server answers)" in encoder.choices
    (seen,) = server.seen
    assert seen.body["encoding_format"] == "float"
    encoder.close()


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


def test_contradicting_settings_are_all_reported() -> None:
    with pytest.raises(ConfigurationError) as refused:
        OpenAIEncoder("m", base_url="nowhere", dim=3, dimensions=4, api_key_env="sk-1")
    assert [line.split(":")[0] for line in refused.value.problems] == ["api_key_env", "base_url", "dim"]


def test_a_width_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="dimensions: 0 must be at least 1"):
        OpenAIEncoder("m", dimensions=0)
