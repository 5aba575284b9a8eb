"""An encoder over a server: what is sent, what comes of it, and how wide it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.embedding_server import EmbeddingServer, embedding_server, waits
from openai_bench import TEXTS, bench, dense, expected

from fusionapp.adapters.openai_compatible.encoder import OpenAIEncoder
from fusionapp.domain.errors import ConfigurationError, UsageError


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as running:
        yield running


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


def test_contradicting_settings_are_all_reported() -> None:
    with pytest.raises(ConfigurationError) as refused:
        OpenAIEncoder("m", base_url="nowhere", dim=3, dimensions=4, api_key_env="sk-1")
    assert [line.split(":")[0] for line in refused.value.problems] == ["api_key_env", "base_url", "dim"]


def test_a_width_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="dimensions: 0 must be at least 1"):
        OpenAIEncoder("m", dimensions=0)
